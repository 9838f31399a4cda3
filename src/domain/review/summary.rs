//! What the reviews of a teacher come to, or those of one course.

use super::{Rating, Share};

/// What all published reviews of one rating come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub reviews: u64,
    /// Of all of them, in millionths.
    pub credibility: u64,
    /// The same.
    pub weight: u64,
}

/// What all reviews come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Those of one star first.
    tallies: [Tally; 5],
    /// Those that an admin has to look at.
    pub held: u64,
}

impl Summary {
    /// Of so many that are held, and none that are published.
    #[must_use]
    pub fn with_held(held: u64) -> Self {
        Self { held, ..Self::default() }
    }

    /// Adds what the reviews of one rating come to.
    pub fn add(&mut self, rating: Rating, more: Tally) {
        let tally = &mut self.tallies[usize::from(rating.stars()) - 1];
        tally.reviews += more.reviews;
        tally.credibility += more.credibility;
        tally.weight += more.weight;
    }

    /// Every rating with its reviews, also those that nobody gave; from one star to five.
    pub fn tallies(&self) -> impl Iterator<Item = (Rating, Tally)> {
        Rating::ALL.into_iter().zip(self.tallies)
    }

    /// How many reviews are published.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.sum(|tally| tally.reviews)
    }

    /// The average of all ratings, each counting as much, in hundredths; `None`: there is none.
    #[must_use]
    pub fn average(&self) -> Option<u64> {
        self.mean_rating(|tally| tally.reviews)
    }

    /// The average of all ratings, each counting as far as it is believed: as courses are rated, in
    /// hundredths. `None`: none counts.
    #[must_use]
    pub fn rating(&self) -> Option<u64> {
        self.mean_rating(|tally| tally.weight)
    }

    /// How far the reviews can be believed on the average; `None`: there is none.
    #[must_use]
    pub fn credibility(&self) -> Option<Share> {
        let millionths = self.sum(|tally| tally.credibility).checked_div(self.count())?;
        i64::try_from(millionths).ok().and_then(Share::from_millionths)
    }

    fn mean_rating(&self, weight: impl Fn(Tally) -> u64) -> Option<u64> {
        let points =
            self.tallies().map(|(rating, tally)| u64::from(rating.stars()) * weight(tally));
        (points.sum::<u64>() * 100).checked_div(self.sum(&weight))
    }

    fn sum(&self, part: impl Fn(Tally) -> u64) -> u64 {
        self.tallies.iter().map(|tally| part(*tally)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(tallies: &[(i64, Tally)]) -> Summary {
        let mut summary = Summary::default();
        for (stars, tally) in tallies {
            summary.add(Rating::try_from(*stars).unwrap(), *tally);
        }
        summary
    }

    #[test]
    fn averages_are_rounded_down_and_weighted_apart() {
        let reviews = summary(&[
            (5, Tally { reviews: 2, credibility: 1_900_000, weight: 2_000_000 }),
            (1, Tally { reviews: 1, credibility: 350_000, weight: 0 }),
            (4, Tally { reviews: 2, credibility: 1_250_000, weight: 1_250_000 }),
            (4, Tally { reviews: 1, credibility: 1, weight: 0 }),
        ]);
        assert_eq!(reviews.count(), 6);
        let counts: Vec<_> = reviews.tallies().map(|(_, tally)| tally.reviews).collect();
        assert_eq!(counts, [1, 0, 0, 3, 2]);
        assert_eq!(reviews.average(), Some(383), "23 / 6");
        assert_eq!(reviews.rating(), Some(461), "15 / 3.25");
        assert_eq!(reviews.credibility().map(Share::millionths), Some(583_333));
    }

    #[test]
    fn nothing_has_no_average() {
        let nothing = Summary { held: 3, ..Summary::default() };
        assert_eq!((nothing.count(), nothing.average(), nothing.rating()), (0, None, None));
        assert_eq!(nothing.credibility(), None);
        // Shown, and not believed.
        let doubtful = summary(&[(5, Tally { reviews: 1, credibility: 150_000, weight: 0 })]);
        assert_eq!((doubtful.average(), doubtful.rating()), (Some(500), None));
    }
}
