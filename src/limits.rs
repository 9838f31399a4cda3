//! How often somebody may try to prove who they are, on this node.
//!
//! Counted in memory, on a monotonic clock that no test and no administrator moves. What is kept
//! is bounded by the limits themselves: one address can make only so many keys a minute, and
//! [`Limits::prune`], called by a job, drops those that are as good as new.
//!
//! Several nodes count each for itself, so the whole grants up to as many times more. That is
//! enough against guessing, which needs millions of tries.

use std::{fmt, hash::Hash, net::IpAddr, num::NonZeroU32};

use governor::{DefaultKeyedRateLimiter, Quota, clock::Clock};
use sha2::{Digest, Sha256};

use crate::{
    config,
    domain::address::subscriber,
    error::{Error, Result},
};

/// How many more times tokens may be refreshed than passwords tried. A refresh token cannot be
/// guessed, and everybody in a school behind one address refreshes every few minutes.
const REFRESHES_PER_LOGIN: NonZeroU32 = NonZeroU32::new(20).expect("twenty is not zero");

/// How many more times one account may be tried from everywhere than from one address. With the
/// same limit for both, anybody could keep the owner out by trying all the time; with none, a
/// thousand addresses could guess together.
const ADDRESSES_PER_ACCOUNT: NonZeroU32 = NonZeroU32::new(30).expect("thirty is not zero");

/// The counters. One account or address that used up its share gets [`Error::RateLimited`].
pub struct Limits {
    logins_per_account: DefaultKeyedRateLimiter<AccountKey>,
    logins_per_account_and_address: DefaultKeyedRateLimiter<(AccountKey, IpAddr)>,
    logins_per_address: DefaultKeyedRateLimiter<IpAddr>,
    refreshes_per_address: DefaultKeyedRateLimiter<IpAddr>,
    registrations_per_address: DefaultKeyedRateLimiter<IpAddr>,
}

/// The hash of an e-mail address: of one size however long the text was, and it tells nobody who
/// reads the memory who tried to sign in.
type AccountKey = [u8; 32];

impl Limits {
    #[must_use]
    pub fn new(settings: &config::Auth) -> Self {
        let logins = settings.login_per_minute_per_address;
        let refreshes = logins.saturating_mul(REFRESHES_PER_LOGIN);
        let registrations = settings.register_per_hour_per_address;
        let from_everywhere = settings.login_per_minute.saturating_mul(ADDRESSES_PER_ACCOUNT);
        Self {
            logins_per_account: limiter(Quota::per_minute(from_everywhere)),
            logins_per_account_and_address: limiter(Quota::per_minute(settings.login_per_minute)),
            logins_per_address: limiter(Quota::per_minute(logins)),
            refreshes_per_address: limiter(Quota::per_minute(refreshes)),
            registrations_per_address: limiter(Quota::per_hour(registrations)),
        }
    }

    /// Before a password is looked at, whether the account exists or not: the answer must not
    /// tell.
    ///
    /// The address is asked first. One that has used up its share can then no longer use up the
    /// share of somebody else's account, to keep them out.
    pub fn check_login(&self, address: IpAddr, account: &str) -> Result<()> {
        let (address, account) = (subscriber(address), account_key(account));
        check(&self.logins_per_address, &address)?;
        check(&self.logins_per_account_and_address, &(account, address))?;
        check(&self.logins_per_account, &account)
    }

    pub fn check_refresh(&self, address: IpAddr) -> Result<()> {
        check(&self.refreshes_per_address, &subscriber(address))
    }

    pub fn check_registration(&self, address: IpAddr) -> Result<()> {
        check(&self.registrations_per_address, &subscriber(address))
    }

    /// Forgets whoever has their full share again.
    pub fn prune(&self) {
        prune(&self.logins_per_account);
        prune(&self.logins_per_account_and_address);
        prune(&self.logins_per_address);
        prune(&self.refreshes_per_address);
        prune(&self.registrations_per_address);
    }
}

/// How many are kept, and not who.
impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits")
            .field("logins_per_account", &self.logins_per_account.len())
            .field("logins_per_account_and_address", &self.logins_per_account_and_address.len())
            .field("logins_per_address", &self.logins_per_address.len())
            .field("refreshes_per_address", &self.refreshes_per_address.len())
            .field("registrations_per_address", &self.registrations_per_address.len())
            .finish()
    }
}

fn limiter<K: Clone + Eq + Hash>(quota: Quota) -> DefaultKeyedRateLimiter<K> {
    DefaultKeyedRateLimiter::keyed(quota)
}

fn check<K: Clone + Eq + Hash>(limiter: &DefaultKeyedRateLimiter<K>, key: &K) -> Result<()> {
    limiter.check_key(key).map_err(|not_until| Error::RateLimited {
        retry_after: not_until.wait_time_from(limiter.clock().now()),
    })
}

fn prune<K: Clone + Eq + Hash>(limiter: &DefaultKeyedRateLimiter<K>) {
    limiter.retain_recent();
    limiter.shrink_to_fit();
}

fn account_key(account: &str) -> AccountKey {
    Sha256::digest(account.trim().to_lowercase()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    fn limits() -> Limits {
        let flags = [
            ("auth.login_per_minute", "3"),
            ("auth.login_per_minute_per_address", "5"),
            ("auth.register_per_hour_per_address", "2"),
        ];
        let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        Limits::new(&Config::load(Sources { flags, ..Sources::default() }).unwrap().auth)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of ten tries are let through.
    fn passed(mut one: impl FnMut(u8) -> Result<()>) -> usize {
        (0..10).filter(|&i| one(i).is_ok()).count()
    }

    #[test]
    fn one_account_is_tried_so_often_from_one_address() {
        let limits = limits();
        let (thief, owner) = (address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(passed(|_| limits.check_login(thief, "a@example.org")), 3);
        // However it is written.
        assert!(limits.check_login(thief, " A@Example.ORG ").is_err());
        assert!(limits.check_login(owner, "a@example.org").is_ok(), "its owner is not kept out");
    }

    #[test]
    fn one_account_is_tried_so_often_from_everywhere() {
        let limits = limits();
        let from = |i: u8| address(&format!("192.0.{i}.1"));
        let tries = (0..200).filter(|i| limits.check_login(from(*i), "a@example.org").is_ok());
        assert_eq!(tries.count(), 90);
        assert!(limits.check_login(from(250), "b@example.org").is_ok());
    }

    #[test]
    fn one_address_tries_so_often_on_any_account() {
        let limits = limits();
        let home = address("192.0.2.1");
        let login = |i| limits.check_login(home, &format!("{i}@example.org"));
        assert_eq!(passed(login), 5);
        // The tries that were turned away did not count for the account.
        assert_eq!(passed(|_| limits.check_login(home, "victim@example.org")), 0);
        let elsewhere = address("192.0.2.2");
        assert_eq!(passed(|_| limits.check_login(elsewhere, "victim@example.org")), 3);
    }

    #[test]
    fn an_address_may_refresh_more_often_than_guess() {
        let limits = limits();
        assert_eq!(passed(|_| limits.check_refresh(address("192.0.2.1"))), 10);
    }

    #[test]
    fn one_subscriber_is_one_address() {
        let limits = limits();
        let register = |from: &str| limits.check_registration(address(from)).is_ok();
        assert!(register("2001:db8:0:100::1") && register("2001:db8:0:1ff::2"));
        assert!(!register("2001:db8:0:142::3"), "the /56 is used up");
        assert!(register("2001:db8:0:200::1"), "its neighbour is not");
        assert!(register("192.0.2.1") && register("::ffff:192.0.2.1") && !register("192.0.2.1"));
    }

    #[test]
    fn the_refusal_says_when_to_come_back() {
        let limits = limits();
        let register = || limits.check_registration(address("192.0.2.1"));
        assert!(register().is_ok() && register().is_ok());
        let Err(Error::RateLimited { retry_after }) = register() else { panic!("let through") };
        assert!((1..=1_800).contains(&retry_after.as_secs()), "{retry_after:?}");
    }

    #[test]
    fn what_is_not_recent_is_forgotten() {
        let limits = limits();
        limits.check_registration(address("192.0.2.1")).unwrap();
        limits.prune();
        assert_eq!(limits.registrations_per_address.len(), 1, "it still counts");
        assert!(!format!("{limits:?}").contains("192"), "and is shown to nobody");
    }
}
