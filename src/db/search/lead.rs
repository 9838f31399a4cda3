//! By which of its words a search on PostgreSQL finds courses.

use sqlx::PgConnection;

use crate::{
    domain::catalogue::{Tier, Words},
    error::Result,
};

/// A word of fewer courses than these is rare: each of them is asked whether it has the others, too.
/// Of two that are not, the lists are walked beside each other.
const RARE_MAX: i64 = 300;

/// The words that lead: a rare one alone, or two that are not; and those that are left.
#[derive(Debug)]
pub(super) struct Lead {
    pub(super) first: String,
    pub(super) second: Option<String>,
    pub(super) others: Vec<String>,
}

impl Lead {
    pub(super) async fn of(conn: &mut PgConnection, words: &Words, tier: Tier) -> Result<Self> {
        let words = words.as_slice();
        let counted: Vec<(String, i64)> = if words.len() < 2 {
            words.iter().map(|word| (word.clone(), 0)).collect()
        } else {
            sqlx::query_as(COUNT)
                .bind(words)
                .bind(tier == Tier::Title)
                .bind(RARE_MAX)
                .fetch_all(conn)
                .await?
        };
        let is_rare = counted.first().is_none_or(|(_, courses)| *courses < RARE_MAX);
        let mut words = counted.into_iter().map(|(word, _)| word);
        Ok(Self {
            first: words.next().unwrap_or_default(),
            second: if is_rare { None } else { words.next() },
            others: words.collect(),
        })
    }
}

/// Words, those of the fewest courses first.
const COUNT: &str = "
    SELECT word, courses FROM unnest($1::text[]) AS asked(word),
           LATERAL (SELECT COUNT(*) AS courses
                      FROM (SELECT FROM course_words w
                             WHERE w.word = asked.word AND in_title = $2 LIMIT $3) found) counted
     ORDER BY courses";
