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
        course::{Category, CourseStatus, Price},
        user::Role,
    },
    error::{Error, Result},
    http::{
        extract::{Caller, Json, Query},
        page::{self, Cursor, Limit, Page},
    },
    id::{CategoryId, UserId},
    money::{Currency, Money},
    service::{
        courses::{self, Found},
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
    /// Of one's own courses, and of what was not looked for by words: by price if a price is named, or else by rating if one is.
    sort: Option<Sort>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
}

pub(super) async fn list(
    State(app): State<App>,
    caller: Option<Caller>,
    Query(query): Query<CoursesQuery>,
) -> Result<Json<Page<CourseView>>> {
    let limit = query.limit;
    let cursor = query.cursor.as_ref().map(Cursor::text);
    let has_range = query.min_price.is_some() || query.max_price.is_some();
    let sort = query.sort.unwrap_or(match &query.min_rating {
        _ if has_range => Sort::Cheapest,
        Some(_) => Sort::BestRated,
        None => Sort::Newest,
    });
    let is_by_price = has_range || matches!(sort, Sort::Cheapest | Sort::Dearest);
    let filter = Filter {
        shelf: shelf(&query, caller.as_ref())?,
        category_id: query.category_id,
        status: query.status,
        currency: match query.currency {
            None if !is_by_price => None,
            // Prices can be compared in one currency only.
            currency => Some(currency_or_default(&app, currency)?),
        },
        min_price: price("min_price", query.min_price.as_deref())?,
        max_price: price("max_price", query.max_price.as_deref())?,
        min_rating: match &query.min_rating {
            Some(text) => parse_rating(text).map_err(|e| Error::invalid("min_rating", e))?,
            None => 0,
        },
    };
    let mut tx = app.db.read().await?;
    let words = query.search.as_deref().map(Words::of);
    if let Some(words) = words.as_ref().filter(|_| !matches!(filter.shelf, Shelf::Own(_))) {
        if query.sort.is_some() {
            return Err(Error::invalid("sort", "a search of what is on offer has its own order"));
        }
        let at = Found::read(cursor)?;
        let found = courses::search(&mut tx, words, &filter, at, limit.entries() + 1).await?;
        return Ok(Json(Page::new(found, limit.entries(), |(tier, listed)| {
            Found { tier: *tier, after: Some(listed.course.id) }.to_string()
        })));
    }
    let after = (sort, cursor.map(read_place).transpose()?);
    let found = if let Some(words) = words {
        courses::search_own(&mut tx, &words, &filter, after, limit.entries() + 1).await?
    } else {
        db::catalogue::list(&mut tx, &filter, after, limit.and_one()).await?
    };
    Ok(Json(Page::new(found, limit.entries(), |listed| {
        let Place { id, value } = listed.place(sort);
        format!("{id} {value}")
    })))
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
