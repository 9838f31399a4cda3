//! People.

use serde_json::Value;

use crate::{domain::calendar::Zone, id::UserId, time::Timestamp};

super::word_enum! {
    /// What somebody may do.
    Role {
        Student = "student",
        Teacher = "teacher",
        Admin = "admin",
    }
}

super::word_enum! {
    /// Whether somebody may do it now.
    UserStatus {
        Active = "active",
        /// May not sign in until an admin says so.
        Suspended = "suspended",
        /// Gone for everybody, kept for the ledger's sake.
        Deleted = "deleted",
    }
}

super::word_enum! {
    /// Why a sign-in ended before its time.
    LoginEnd {
        LoggedOut = "logged_out",
        /// A refresh token was used twice: one of the two was a thief.
        TokenReused = "token_reused",
        PasswordChanged = "password_changed",
        EndedByAdmin = "ended_by_admin",
    }
}

/// Somebody with an account here.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub id: UserId,
    pub email: String,
    pub name: String,
    pub role: Role,
    pub status: UserStatus,
    /// Whatever else clients keep about somebody; an object.
    pub profile: Value,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Where a profile has the time zone.
const TIME_ZONE: &str = "time_zone";

impl User {
    /// Where their days begin and end: as their profile says, or else as in UTC.
    #[must_use]
    pub fn time_zone(&self) -> Zone {
        // One that was written before it was checked may be none.
        let name = self.profile.get(TIME_ZONE).and_then(Value::as_str);
        name.and_then(|name| name.parse().ok()).unwrap_or_else(Zone::utc)
    }
}

/// Whether what Murph itself reads of a profile can be read. All the rest is the clients'.
pub fn check_profile(profile: &Value) -> Result<(), String> {
    match profile.get(TIME_ZONE) {
        None => Ok(()),
        Some(Value::String(name)) => {
            name.parse::<Zone>().map(drop).map_err(|problem| format!("{TIME_ZONE} {problem}"))
        }
        Some(_) => Err(format!("{TIME_ZONE} is not a text")),
    }
}

/// The longest name somebody may have, in characters.
pub const NAME_MAX: usize = 100;

/// The longest e-mail address there is (RFC 5321).
const EMAIL_MAX: usize = 254;

/// The longest password that is looked at, in bytes.
pub const PASSWORD_MAX: usize = 256;

/// An e-mail address as it is kept: trimmed, lower case. Only what cannot be one is refused; whether
/// somebody reads it, a letter will tell.
pub fn parse_email(text: &str) -> Result<String, String> {
    let email = text.trim().to_lowercase();
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '@';
    let is_address = email.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && local.chars().all(is_plain)
            && domain.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '.')
            && domain.split('.').count() >= 2
            && domain.split('.').all(|label| !label.is_empty())
    });
    if is_address && email.len() <= EMAIL_MAX {
        Ok(email)
    } else {
        Err("is not an e-mail address".into())
    }
}

/// A name as it is kept: trimmed.
pub fn parse_name(text: &str) -> Result<String, String> {
    super::text::line(text, NAME_MAX)
}

/// Whether a password is long enough to guard money, and short enough to be hashed.
pub fn check_password(password: &str, length_min: usize) -> Result<(), String> {
    if password.chars().count() < length_min {
        Err(format!("must have at least {length_min} characters"))
    } else if password.len() > PASSWORD_MAX {
        Err(format!("must have at most {PASSWORD_MAX} bytes"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_trimmed_and_lowered() {
        assert_eq!(parse_email(" Ada@Example.ORG ").as_deref(), Ok("ada@example.org"));
        for wrong in
            ["", "@", "a@", "@b.c", "a@b", "a b@c.d", "a@b..c", "a@@b.c", "a\0@b.c", "a@b.c."]
        {
            assert!(parse_email(wrong).is_err(), "{wrong:?}");
        }
        assert!(parse_email(&format!("{}@b.c", "a".repeat(EMAIL_MAX))).is_err());
    }

    #[test]
    fn names_and_passwords_have_bounds() {
        assert_eq!(parse_name("  Ada ").as_deref(), Ok("Ada"));
        assert!(parse_name(" ").is_err() && parse_name("a\nb").is_err());
        assert!(parse_name(&"é".repeat(NAME_MAX)).is_ok());
        assert!(parse_name(&"é".repeat(NAME_MAX + 1)).is_err());
        assert!(check_password("1234567", 8).is_err() && check_password("12345678", 8).is_ok());
        assert!(check_password(&"x".repeat(PASSWORD_MAX + 1), 8).is_err());
    }
}
