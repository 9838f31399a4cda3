//! How our types reach both databases, while `money`, `id` and `domain` know nothing of sqlx.

use chrono::{DateTime, Utc};
use sqlx::{Database, Decode, Encode, Postgres, Sqlite, Type, encode::IsNull, error::BoxDynError};
use uuid::Uuid;

use crate::{
    domain::{
        course::{CourseStatus, Level},
        discovery::Provider,
        ledger::{AccountKind, JournalKind},
        media::{ContentType, FileStatus},
        payment::{PaymentStatus, TransactionType},
        review::{BonusStatus, Rating, ReviewStatus, Share},
        session::{EndReason, SessionStatus},
        user::{LoginEnd, Role, UserStatus},
    },
    id::{
        AccountId, CategoryId, ChatId, CourseId, FileId, LoginId, NodeId, PayoutId, ReviewId,
        SessionId, TopUpId, UserId, VideoId,
    },
    money::{BasisPoints, Currency, Money},
    time::Timestamp,
};

/// Stores a type as another, on every database.
macro_rules! store_as {
    ($ty:ty as $inner:ty, $read:expr, $write:expr) => {
        impl<DB: Database> Type<DB> for $ty
        where
            $inner: Type<DB>,
        {
            fn type_info() -> DB::TypeInfo {
                <$inner as Type<DB>>::type_info()
            }

            fn compatible(ty: &DB::TypeInfo) -> bool {
                <$inner as Type<DB>>::compatible(ty)
            }
        }

        impl<'q, DB: Database> Encode<'q, DB> for $ty
        where
            $inner: Encode<'q, DB>,
        {
            fn encode_by_ref(
                &self,
                buf: &mut <DB as Database>::ArgumentBuffer,
            ) -> Result<IsNull, BoxDynError> {
                let write: fn(&$ty) -> $inner = $write;
                <$inner as Encode<'q, DB>>::encode(write(self), buf)
            }
        }

        impl<'r, DB: Database> Decode<'r, DB> for $ty
        where
            $inner: Decode<'r, DB>,
        {
            fn decode(value: <DB as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
                let read: fn($inner) -> Result<$ty, BoxDynError> = $read;
                read(<$inner as Decode<'r, DB>>::decode(value)?)
            }
        }
    };
}

macro_rules! store_ids {
    ($($ty:ty)*) => {$(
        store_as!($ty as Uuid, |uuid| Ok(<$ty>::from_uuid(uuid)), |id| id.uuid());
    )*};
}

macro_rules! store_words {
    ($($ty:ty)*) => {$(
        store_as!($ty as String, |word| Ok(word.parse::<$ty>()?), |word| word.as_str().to_owned());
    )*};
}

store_ids! {
    AccountId CategoryId ChatId CourseId FileId LoginId NodeId PayoutId ReviewId SessionId TopUpId
    UserId VideoId
}
store_words! {
    AccountKind BonusStatus ContentType CourseStatus Currency EndReason FileStatus JournalKind
    Level LoginEnd PaymentStatus Provider ReviewStatus Role SessionStatus TransactionType UserStatus
}
store_as!(Money as i64, |micros| Ok(Money::from_micros(micros)), |money| money.micros());
store_as!(Rating as i64, |stars| Ok(Rating::try_from(stars)?), |rating| i64::from(rating.stars()));
store_as!(
    Share as i64,
    |millionths| Share::from_millionths(millionths).ok_or_else(|| "more than the whole".into()),
    |share| i64::from(share.millionths())
);
store_as!(
    BasisPoints as i64,
    |points| {
        let points = u16::try_from(points)?;
        BasisPoints::new(points).ok_or_else(|| "a share is at most the whole".into())
    },
    |share| i64::from(share.points())
);

/// SQLite keeps times as whole microseconds.
impl Type<Sqlite> for Timestamp {
    fn type_info() -> <Sqlite as Database>::TypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }
}

impl<'q> Encode<'q, Sqlite> for Timestamp {
    fn encode_by_ref(
        &self,
        buf: &mut <Sqlite as Database>::ArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<'q, Sqlite>>::encode(self.micros(), buf)
    }
}

impl<'r> Decode<'r, Sqlite> for Timestamp {
    fn decode(value: <Sqlite as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        let micros = <i64 as Decode<'r, Sqlite>>::decode(value)?;
        Self::from_micros(micros).ok_or_else(|| "a time beyond any calendar".into())
    }
}

impl Type<Postgres> for Timestamp {
    fn type_info() -> <Postgres as Database>::TypeInfo {
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }
}

impl<'q> Encode<'q, Postgres> for Timestamp {
    fn encode_by_ref(
        &self,
        buf: &mut <Postgres as Database>::ArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        <DateTime<Utc> as Encode<'q, Postgres>>::encode(self.datetime(), buf)
    }
}

impl<'r> Decode<'r, Postgres> for Timestamp {
    fn decode(value: <Postgres as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        <DateTime<Utc> as Decode<'r, Postgres>>::decode(value).map(Self::from_datetime)
    }
}
