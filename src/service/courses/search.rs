//! Finding courses by words: what fits best first, or in the order of a list.

use std::fmt;

use crate::{
    app::App,
    db::{
        self, Tx,
        catalogue::{Listed, Text},
    },
    domain::catalogue::{Filter, Place, Shelf, Sort, Tier, Words},
    error::{Error, Result},
    id::CourseId,
};

/// The most courses that are looked at in one go.
const LOOKED_AT_ONCE: usize = 200;

/// The most for one page, of those that the filter lets through. If they do not fill it, the next page
/// goes on from there.
const LOOKED_AT_MAX: usize = 600;

/// How far a search has come that shows what fits best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub tier: Tier,
    /// The last one of it that was seen.
    pub after: Option<CourseId>,
}

impl Found {
    /// What was written by `Display`; nothing: the beginning.
    pub fn read(cursor: Option<&str>) -> Result<Self> {
        let Some(cursor) = cursor else { return Ok(Self { tier: Tier::Title, after: None }) };
        let found = || {
            let (tier, id) = cursor.split_once(' ')?;
            Some(Self { tier: tier.parse().ok()?, after: Some(id.parse().ok()?) })
        };
        found().ok_or_else(|| Error::invalid("cursor", "is not one that a search gave"))
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = self.after.map(|id| id.to_string()).unwrap_or_default();
        write!(f, "{} {after}", self.tier)
    }
}

/// At most `limit` courses on offer that have all `words`, behind `at`: first those that have them
/// in their title. If there is none, longer words that begin like these will do.
pub async fn search(
    tx: &mut Tx,
    words: &Words,
    filter: &Filter,
    mut at: Found,
    limit: usize,
) -> Result<Vec<(Tier, Listed)>> {
    let is_first_page = at == Found::read(None)?;
    let mut found = Vec::new();
    while !words.as_slice().is_empty() && found.len() < limit {
        let missing = i64::try_from(limit - found.len()).expect("a page is small");
        let place = (at.tier, at.after);
        let more = db::search::search(tx, words, filter, place, missing).await?;
        found.extend(more.into_iter().map(|listed| (at.tier, listed)));
        let tier = match at.tier {
            Tier::Title => Tier::Text,
            Tier::Text if found.is_empty() && is_first_page => Tier::Begins,
            Tier::Text | Tier::Begins => break,
        };
        at = Found { tier, after: None };
    }
    Ok(found)
}

/// How far a search has come in the order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where the words were found.
    pub tier: Tier,
    /// So many courses have them that the list itself is looked through.
    pub are_many: bool,
    /// The last one that was seen.
    pub place: Place,
}

/// One page of courses in the order of a list.
#[derive(Debug)]
pub struct Sorted {
    pub listed: Vec<Listed>,
    /// Behind which the next page begins, if there may be one.
    pub next: Option<Seen>,
}

/// At most `limit` courses of a shelf that have all `words`, in the order of a list, behind `at`. If there
/// is none, or if the shelf is a teacher's own, longer words that begin like these will do.
///
/// A few are put in order. Of many, those that come first are soon found by looking at all courses in
/// that order, and so are those of a teacher.
pub async fn search_in_order(
    app: &App,
    words: &Words,
    filter: &Filter,
    (sort, at): (Sort, Option<Seen>),
    limit: usize,
) -> Result<Sorted> {
    // A course must not change between being found and being shown: the page would be too short.
    let mut tx = app.db.snapshot().await?;
    let is_own = matches!(filter.shelf, Shelf::Own(_));
    let (tier, are_many) = match at {
        Some(seen) => (seen.tier, seen.are_many || is_own),
        None if is_own => (Tier::Begins, true),
        None => (Tier::Text, false),
    };
    let order = (sort, at.map(|seen| seen.place));
    let page = part(&mut tx, (words, tier, are_many), filter, order, limit).await?;
    let is_nothing = page.listed.is_empty() && page.next.is_none();
    if is_nothing && at.is_none() && !is_own {
        return part(&mut tx, (words, Tier::Begins, false), filter, order, limit).await;
    }
    Ok(page)
}

/// What has the words in one tier.
async fn part(
    tx: &mut Tx,
    (words, tier, are_many): (&Words, Tier, bool),
    filter: &Filter,
    (sort, after): (Sort, Option<Place>),
    limit: usize,
) -> Result<Sorted> {
    let places = if words.is_empty() {
        Some(Vec::new())
    } else if are_many {
        None
    } else {
        db::search::places(tx, words, filter, (sort, tier)).await?
    };
    let are_many = places.is_none();
    let (mut places, seen) = match places {
        Some(mut places) => {
            places.retain(|place| after.is_none_or(|after| after.cmp_in(place, sort).is_lt()));
            places.sort_unstable_by(|one, other| one.cmp_in(other, sort));
            (places, None)
        }
        None => look_through(tx, (words, tier), filter, (sort, after), limit).await?,
    };
    let has_more = places.len() > limit;
    places.truncate(limit);
    let ids: Vec<CourseId> = places.iter().map(|place| place.id).collect();
    let mut listed = db::catalogue::list_by_ids(tx, &ids).await?;
    listed.sort_unstable_by(|one, other| one.place(sort).cmp_in(&other.place(sort), sort));
    let next = if has_more { places.last().copied() } else { seen };
    Ok(Sorted { listed, next: next.map(|place| Seen { tier, are_many, place }) })
}

/// Where courses of a shelf stand that have all `words`: one more than `limit` of them, if there are so
/// many; and how far was looked, if not to the end.
async fn look_through(
    tx: &mut Tx,
    (words, tier): (&Words, Tier),
    filter: &Filter,
    (sort, mut after): (Sort, Option<Place>),
    limit: usize,
) -> Result<(Vec<Place>, Option<Place>)> {
    let (mut found, mut looked) = (Vec::new(), 0);
    let mut at_once = 2 * limit;
    while at_once > 0 {
        let most = i64::try_from(at_once).expect("it is a few hundred");
        let seen = db::catalogue::list_texts(tx, filter, (sort, after), most).await?;
        let is_end = seen.len() < at_once;
        looked += seen.len();
        after = seen.last().map(|last| last.place);
        let has_words = |text: &Text| words.are_in(&text.title, &text.description, tier);
        found.extend(seen.into_iter().filter(has_words).map(|text| text.place));
        if is_end {
            return Ok((found, None));
        }
        if found.len() > limit {
            break;
        }
        // Those among which the rest is, if it is as dense as what was found.
        let missing = limit + 1 - found.len();
        at_once = (missing * looked / found.len().max(1)).clamp(limit, LOOKED_AT_ONCE);
        at_once = at_once.min(LOOKED_AT_MAX.saturating_sub(looked));
    }
    Ok((found, after))
}
