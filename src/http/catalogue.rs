//! `GET /api/v1/courses` and `/categories`: finding what to watch.

use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::courses::CourseView;
use crate::{
    app::App,
    db::{self, catalogue::Listed},
    domain::{
        catalogue::{Filter, Place, Shelf, Sort, Tier, Words, parse_rating},
        course::{Category, CourseStatus, Level, Price},
        user::Role,
    },
    error::{Error, Result},
    http::{
        answer::Shared,
        extract::{Caller, Json, Query},
        page::{self, Cursor, Limit, Page},
    },
    id::{CategoryId, UserId},
    money::{Currency, Money},
    service::{
        courses::{self, Found, Seen, Sorted},
        payments::currency_or_default,
    },
};

impl From<(Tier, Listed)> for CourseView {
    fn from((_, listed): (Tier, Listed)) -> Self {
        listed.into()
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CoursesQuery {
    /// Words of the title or the description, or how they begin.
    search: Option<String>,
    category_id: Option<CategoryId>,
    /// What is for everybody has none.
    level: Option<Level>,
    teacher_id: Option<UserId>,
    /// Whatever is not on offer is only for its teacher.
    status: Option<CourseStatus>,
    /// The default one if prices are compared and nothing is said.
    currency: Option<Currency>,
    #[schemars(with = "Option<Price>")]
    min_price: Option<String>,
    #[schemars(with = "Option<Price>")]
    max_price: Option<String>,
    /// What nobody has rated has none.
    #[schemars(regex(pattern = r"^([0-4](\.[0-9]{1,2})?|5(\.00?)?)$"))]
    min_rating: Option<String>,
    /// If nothing is said: what fits the words best, or by price if a price is named, or else by rating if one is. Of what is found by words in another order, a page may be short although there is more.
    sort: Option<Sort>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Option<Caller>,
    Query(query): Query<CoursesQuery>,
) -> Result<Shared<Page<CourseView>>> {
    let question = Question::of(&app, caller.as_ref(), query)?;
    // It names the teacher whose own courses it is about.
    let text = format!("{question:?}");
    let here = app.clone();
    let read = move || {
        let (app, question) = (here.clone(), question.clone());
        async move { question.answer(&app).await }
    };
    Shared::read(&app, text, read).await
}

/// What is looked for, and where the last page ended.
#[derive(Clone, Debug)]
struct Question {
    filter: Filter,
    order: Order,
    cursor: Option<Cursor>,
    limit: Limit,
}

#[derive(Clone, Debug)]
enum Order {
    /// What has the words, the best first.
    Fit(Words),
    By(Sort, Option<Words>),
}

impl Question {
    fn of(app: &App, caller: Option<&Caller>, query: CoursesQuery) -> Result<Self> {
        let shelf = shelf(&query, caller)?;
        let min_rating = query.min_rating.as_deref().map_or(Ok(0), parse_rating);
        let mut filter = Filter {
            category_id: query.category_id,
            level: query.level,
            min_price: price("min_price", query.min_price.as_deref())?,
            max_price: price("max_price", query.max_price.as_deref())?,
            min_rating: min_rating.map_err(|problem| Error::invalid("min_rating", problem))?,
            ..Filter::all_of(shelf, query.status)
        };
        let has_range = filter.min_price.is_some() || filter.max_price.is_some();
        let is_by_price = has_range || matches!(query.sort, Some(Sort::Cheapest | Sort::Dearest));
        if is_by_price || query.currency.is_some() {
            // Prices can be compared in one currency only.
            filter.currency = Some(currency_or_default(app, query.currency)?);
        }
        let order = match (query.sort, query.search.as_deref().map(Words::of)) {
            (Some(sort), words) => Order::By(sort, words),
            (None, Some(words)) if !matches!(shelf, Shelf::Own(_)) => Order::Fit(words),
            (None, words) if has_range => Order::By(Sort::Cheapest, words),
            (None, words) if query.min_rating.is_some() => Order::By(Sort::BestRated, words),
            (None, words) => Order::By(Sort::Newest, words),
        };
        Ok(Self { filter, order, cursor: query.cursor, limit: query.limit })
    }

    async fn answer(&self, app: &App) -> Result<Page<CourseView>> {
        let Self { filter, order, cursor, limit } = self;
        let cursor = cursor.as_ref().map(Cursor::text);
        let (sort, words) = match order {
            Order::By(sort, words) => (*sort, words),
            Order::Fit(words) => {
                let (at, most) = (Found::read(cursor)?, limit.entries() + 1);
                let mut tx = app.db.read().await?;
                let found = courses::search(&mut tx, words, filter, at, most).await?;
                return Ok(Page::new(found, limit.entries(), |(tier, listed)| {
                    Found { tier: *tier, after: Some(listed.course.id) }.to_string()
                }));
            }
        };
        let Some(words) = words else {
            let order = (sort, cursor.map(read_place).transpose()?);
            let mut tx = app.db.read().await?;
            let found = db::catalogue::list(&mut tx, filter, order, limit.and_one()).await?;
            return Ok(Page::new(found, limit.entries(), |listed| write_place(listed.place(sort))));
        };
        let order = (sort, cursor.map(read_seen).transpose()?);
        let sorted = courses::search_in_order(app, words, filter, order, limit.entries()).await?;
        let Sorted { listed, next } = sorted;
        Ok(Page::before(next.map(write_seen), listed.into_iter().map(CourseView::from).collect()))
    }
}

/// Where to look: what is not on offer is on its teacher's own shelf.
fn shelf(query: &CoursesQuery, caller: Option<&Caller>) -> Result<Shelf> {
    let is_offer = query.status.is_none_or(|status| status == CourseStatus::Published);
    if !is_offer {
        let teacher = caller.filter(|caller| caller.user.role == Role::Teacher);
        let teacher = teacher.ok_or(Error::Forbidden("only teachers see what is not on offer"))?;
        let is_own = query.teacher_id.is_none_or(|id| id == teacher.user.id);
        return if is_own {
            Ok(Shelf::Own(teacher.user.id))
        } else {
            Err(Error::Forbidden("only its teacher sees what is not on offer"))
        };
    }
    Ok(match (query.teacher_id, query.category_id) {
        (Some(teacher), _) => Shelf::Teacher(teacher),
        (None, Some(category)) => Shelf::Category(category),
        (None, None) => Shelf::All,
    })
}

fn price(param: &'static str, text: Option<&str>) -> Result<Option<Money>> {
    let price: Option<Price> = text
        .map(str::parse)
        .transpose()
        .map_err(|problem: String| Error::invalid(param, problem))?;
    Ok(price.map(Price::money))
}

fn write_place(Place { id, value }: Place) -> String {
    format!("{id} {value}")
}

/// In front of what is among many.
const MANY: &str = "many ";

/// A place in a list of what was found by words.
fn write_seen(Seen { tier, are_many, place }: Seen) -> String {
    let many = if are_many { MANY } else { "" };
    format!("{many}{tier} {}", write_place(place))
}

fn read_seen(cursor: &str) -> Result<Seen> {
    let (are_many, rest) = cursor.strip_prefix(MANY).map_or((false, cursor), |rest| (true, rest));
    let (tier, place) = rest.split_once(' ').ok_or_else(page::not_a_cursor)?;
    let tier = tier.parse().map_err(|_| page::not_a_cursor())?;
    Ok(Seen { tier, are_many, place: read_place(place)? })
}

fn read_place(cursor: &str) -> Result<Place> {
    let place = || {
        let (id, value) = cursor.split_once(' ')?;
        Some(Place { id: id.parse().ok()?, value: value.parse().ok()? })
    };
    place().ok_or_else(page::not_a_cursor)
}

pub(super) async fn categories(
    State(app): State<App>,
    _: Option<Caller>,
) -> Result<Json<Page<CategoryView>>> {
    let categories = db::courses::categories(&mut app.db.read().await?).await?;
    let all = categories.len();
    Ok(Json(Page::new(categories, all, |category| category.id.to_string())))
}

/// What courses are about.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Category")]
pub(super) struct CategoryView {
    id: CategoryId,
    name: String,
    description: String,
}

impl From<Category> for CategoryView {
    fn from(Category { id, name, description }: Category) -> Self {
        Self { id, name, description }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_says_how_far_a_search_has_come() {
        let id = "019a1b2c-3d4e-7f50-8a9b-0c1d2e3f4a5b";
        for (text, are_many) in
            [(format!("text {id} 12"), false), (format!("many begins {id} -1"), true)]
        {
            let seen = read_seen(&text).unwrap();
            assert_eq!((write_seen(seen), seen.are_many), (text, are_many));
        }
        for other in [
            "",
            "many",
            "many ",
            "text",
            &format!("many many text {id} 1"),
            &format!("some {id} 1"),
        ] {
            assert!(read_seen(other).is_err(), "{other}");
        }
    }
}
