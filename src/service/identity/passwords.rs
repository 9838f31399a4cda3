//! Passwords: hashed off the runtime, a few at a time.
//!
//! On threads of their own and not on those that block for everybody: the allocator keeps what was
//! freed for the thread that had it, and each of those would in time keep the 19 MiB of a hash.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    thread,
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Result};

/// How many may wait for their turn. More are sent away: each hash takes 19 MiB and a core.
const WAITING_MAX: usize = 64;

type Work = Box<dyn FnOnce() + Send>;

/// Hashes and checks passwords with Argon2id (19 MiB, two passes, one lane).
#[derive(Clone)]
pub struct Passwords {
    queue: mpsc::Sender<Work>,
    /// A hash nobody has the password of: unknown users take as long as known ones.
    nobody: Arc<str>,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

impl Passwords {
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        // A fixed salt will do: this hash guards nothing. Its cost is what counts.
        let nobody: PasswordHash = Argon2::default()
            .hash_password_with_salt(b"nobody", b"nobody's own salt")
            .expect("the default parameters are valid");
        let (queue, work) = mpsc::channel(WAITING_MAX);
        let work = Arc::new(Mutex::new(work));
        for _ in 0..at_once {
            let work = Arc::clone(&work);
            let hasher = thread::Builder::new().name("password hasher".into());
            hasher.spawn(move || hash_all(&work)).expect("the system gives a thread at the start");
        }
        Self { queue, nobody: nobody.to_string().into() }
    }

    pub async fn hash(&self, password: String) -> Result<String> {
        self.run(move || {
            Argon2::default()
                .hash_password(password.as_bytes())
                .map(|hash: PasswordHash| hash.to_string())
                .map_err(|error| Error::Internal(format!("hashing a password: {error}")))
        })
        .await?
    }

    /// Whether `password` is the one behind `hash`; with no hash it never is, and takes as long.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool> {
        let nobody = self.nobody.clone();
        self.run(move || {
            let is_somebody = hash.is_some();
            let is_right = matches(password.as_bytes(), hash.as_deref().unwrap_or(&nobody));
            is_right && is_somebody
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move || {
            // Whoever asked may have gone.
            let _ = answer.send(work());
        });
        self.queue.try_send(work).map_err(|_| Error::Busy)?;
        answered.await.map_err(|_| Error::Internal("a password could not be hashed".into()))
    }
}

/// The life of one hasher: until nobody can ask any more.
fn hash_all(queue: &Mutex<mpsc::Receiver<Work>>) {
    loop {
        let next = queue.lock().expect("nobody panics while holding it").blocking_recv();
        let Some(work) = next else { return };
        // One that panics answers nobody, and that is what its asker is told.
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            tracing::error!("a password hasher panicked");
        }
    }
}

/// Whether the hash was made by something older than what [`Passwords::hash`] makes.
#[must_use]
pub(super) fn is_outdated(hash: &str) -> bool {
    !hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$")
}

fn matches(password: &[u8], hash: &str) -> bool {
    if is_bcrypt(hash) {
        return bcrypt::verify(password, hash).unwrap_or(false);
    }
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

fn is_bcrypt(hash: &str) -> bool {
    ["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_right_password_matches_and_no_other() {
        let passwords = Passwords::new(1);
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(!is_outdated(&hash), "{hash}");
        assert!(passwords.verify("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct horsf".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("nobody".into(), None).await.unwrap());
        assert!(!passwords.verify("x".into(), Some("no hash at all".into())).await.unwrap());
    }

    #[tokio::test]
    async fn bcrypt_is_accepted_and_outdated() {
        let hash = bcrypt::hash("old password", 4).unwrap();
        assert!(is_outdated(&hash));
        assert!(Passwords::new(1).verify("old password".into(), Some(hash)).await.unwrap());
    }
}
