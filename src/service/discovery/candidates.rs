//! The courses that an answer may name: what the message asks for, and if that is too little, what
//! the student asked before, likes, watched, and what is new.

use std::{cmp::Reverse, time::Duration};

use crate::{
    db::{self, Tx, catalogue::Listed, watched::WatchedCourse},
    domain::{
        catalogue::{Filter, Shelf, Sort, Words},
        course::CourseStatus,
        discovery::{
            Chat,
            budget::Budget,
            reason::Reason,
            wish::{self, Fit, Wish},
        },
        user::User,
    },
    error::Result,
    id::{ChatId, CourseId},
    money::Currency,
    service::courses::{self, Found},
    time::Timestamp,
};

/// The most candidates.
pub(super) const MAX: usize = 12;

/// The most searches for one message, whatever is in it.
const SEARCHES_MAX: u32 = 6;

/// A message is about the ones before it if they are not older, and the most of these.
const EARLIER_MAX_AGE: Duration = Duration::from_hours(1);
const EARLIER_MAX: i64 = 3;

/// From so much on a course counts as finished, in percent.
const FINISHED: u8 = 90;

/// The most categories of watched courses that are looked into.
const CATEGORIES_MAX: usize = 2;

/// What there is to answer from.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) wish: Wish,
    /// Candidates cost no more.
    pub(super) budget: Option<Budget>,
    /// The best first; what was finished comes last among those that are as good.
    pub(super) candidates: Vec<Candidate>,
    /// The last messages, the newest first.
    pub(super) earlier: Vec<Chat>,
    pub(super) watched: Vec<WatchedCourse>,
    pub(super) preferences: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) listed: Listed,
    pub(super) reason: Reason,
    pub(super) is_finished: bool,
}

impl Candidate {
    pub(super) fn id(&self) -> CourseId {
        self.listed.course.id
    }

    pub(super) fn sentence(&self) -> String {
        self.reason.sentence(self.is_finished)
    }
}

impl Ground {
    pub(super) async fn of(
        tx: &mut Tx,
        student: &User,
        message: &str,
        currencies: &[Currency],
        now: Timestamp,
    ) -> Result<Self> {
        let newest = ChatId::from_uuid(uuid::Uuid::max());
        // As they are shown now: a model hears of no course that is gone.
        let earlier = super::list(tx, student.id, newest, EARLIER_MAX).await?;
        let mut earlier: Vec<Chat> = earlier.into_iter().map(|shown| shown.chat).collect();
        earlier.retain(|chat| chat.created_at >= now - EARLIER_MAX_AGE);
        let watched = db::watched::list(tx, student.id).await?;
        let (budget, message) = Budget::split(message, currencies);
        let before = earlier.first().map(|chat| Budget::split(&chat.message, currencies).1);
        let mut ground = Self {
            wish: Wish::of(&message),
            budget,
            candidates: Vec::new(),
            earlier,
            watched,
            preferences: wish::preferences(&student.profile),
        };
        ground.search(tx, before.as_deref()).await?;
        Ok(ground)
    }

    /// `before` is what the student asked last.
    async fn search(&mut self, tx: &mut Tx, before: Option<&str>) -> Result<()> {
        let mut searches = Searches { tx, left: SEARCHES_MAX, budget: self.budget };
        let wish = self.wish.clone();
        self.add(searches.by_wish(&wish).await?, Reason::Words);
        if let Some(message) = before.filter(|_| self.is_wanting()) {
            let wish = Wish::of(message);
            self.add(searches.by_wish(&wish).await?, Reason::Earlier);
        }
        if self.is_wanting() {
            let wish = Wish::of(&self.preferences.join(" "));
            self.add(searches.by_wish(&wish).await?, Reason::Preference);
        }
        if self.is_wanting() {
            self.add_like_watched(searches.tx).await?;
        }
        if self.is_wanting() {
            let new = newest(searches.tx, Shelf::All, self.budget).await?;
            self.add(new.into_iter().map(|listed| (listed, ())).collect(), |()| Reason::New);
        }
        self.candidates.truncate(MAX);
        self.candidates.sort_by_key(|candidate| (candidate.reason.rank(), candidate.is_finished));
        Ok(())
    }

    async fn add_like_watched(&mut self, tx: &mut Tx) -> Result<()> {
        let mut categories = Vec::new();
        for WatchedCourse { category_id, title, .. } in self.watched.clone() {
            let Some(category) = category_id.filter(|id| !categories.contains(id)) else {
                continue;
            };
            if categories.len() == CATEGORIES_MAX {
                break;
            }
            categories.push(category);
            let mut like = newest(tx, Shelf::Category(category), self.budget).await?;
            // What was watched is not like itself.
            like.retain(|listed| self.watched.iter().all(|it| it.id != listed.course.id));
            let like = like.into_iter().map(|listed| (listed, ())).collect();
            self.add(like, |()| Reason::Watched(title.clone()));
        }
        Ok(())
    }

    fn is_wanting(&self) -> bool {
        self.candidates.len() < MAX
    }

    fn add<T>(&mut self, found: Vec<(Listed, T)>, reason: impl Fn(T) -> Reason) {
        for (listed, why) in found {
            let id = listed.course.id;
            if self.candidates.iter().any(|known| known.id() == id) {
                continue;
            }
            let is_finished =
                self.watched.iter().any(|it| it.id == id && it.watch_percentage >= FINISHED);
            self.candidates.push(Candidate { listed, reason: reason(why), is_finished });
        }
    }
}

/// Searches, so many of them and no more.
struct Searches<'a> {
    tx: &'a mut Tx,
    left: u32,
    budget: Option<Budget>,
}

impl Searches<'_> {
    /// Courses that have words of `wish`, best first: those with all of them, and, until there are
    /// enough, those with some, of which rare ones tell more.
    async fn by_wish(&mut self, wish: &Wish) -> Result<Vec<(Listed, Fit)>> {
        let mut found = match wish.words() {
            [_, _, ..] => self.look(&wish.words().join(" ")).await?,
            _ => Vec::new(),
        };
        let mut weights = Vec::new();
        for word in wish.rarest_first() {
            if found.len() >= MAX {
                break;
            }
            let mut with_word = self.look(word).await?;
            if let (true, Some(stem)) = (with_word.is_empty(), wish::stem(word)) {
                with_word = self.look(stem).await?;
            }
            weights.push((word, wish::weight(with_word.len())));
            with_word.retain(|new| found.iter().all(|known| known.course.id != new.course.id));
            found.append(&mut with_word);
        }
        let weight = |word: &str| {
            weights.iter().find(|(known, _)| *known == word).map_or(1, |(_, weight)| *weight)
        };
        let fit = |listed: Listed| {
            let fit = wish.fit(&listed.course.title, &listed.course.description);
            (listed, fit)
        };
        let mut found: Vec<(Listed, Fit)> = found.into_iter().map(fit).collect();
        // Keeps the order of the search, the newest first, among those that fit as well.
        found.sort_by_key(|(_, fit)| Reverse(fit.score(weight)));
        Ok(found)
    }

    async fn look(&mut self, words: &str) -> Result<Vec<Listed>> {
        let words = Words::of(words);
        if words.as_slice().is_empty() || self.left == 0 {
            return Ok(Vec::new());
        }
        self.left -= 1;
        let begin = Found::read(None)?;
        let filter = filter(Shelf::All, self.budget);
        let found = courses::search(self.tx, &words, &filter, begin, MAX).await?;
        Ok(found.into_iter().map(|(_, listed)| listed).collect())
    }
}

async fn newest(tx: &mut Tx, shelf: Shelf, budget: Option<Budget>) -> Result<Vec<Listed>> {
    let limit = i64::try_from(MAX).expect("candidates are few");
    db::catalogue::list(tx, &filter(shelf, budget), (Sort::Newest, None), limit).await
}

fn filter(shelf: Shelf, budget: Option<Budget>) -> Filter {
    Filter {
        currency: budget.map(|it| it.currency),
        max_price: budget.map(|it| it.at_most),
        ..Filter::all_of(shelf, Some(CourseStatus::Published))
    }
}
