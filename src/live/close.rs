//! How Murph closes a socket: the codes that tell a client whether to come back.

/// Why Murph closes a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Close {
    /// The session has ended; its receipt was the message before.
    Ended,
    TooBig,
    /// This node stops.
    Restart,
    Unauthenticated,
    /// Another socket meters the session now.
    Superseded,
    NoSession,
    /// The player does not take what it is sent.
    SlowReader,
    /// What was sent is no message at all.
    Protocol,
    /// The session had ended before.
    AlreadyEnded,
    TooManyMessages,
}

impl Close {
    pub const ALL: &'static [Self] = &[
        Self::Ended,
        Self::TooBig,
        Self::Restart,
        Self::Unauthenticated,
        Self::Superseded,
        Self::NoSession,
        Self::SlowReader,
        Self::Protocol,
        Self::AlreadyEnded,
        Self::TooManyMessages,
    ];

    #[must_use]
    pub const fn code(self) -> u16 {
        self.code_and_reason().0
    }

    /// For people who look at a socket; clients go by the code.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        self.code_and_reason().1
    }

    const fn code_and_reason(self) -> (u16, &'static str) {
        match self {
            Self::Ended => (1000, "the session has ended"),
            Self::TooBig => (1009, "the message is too big"),
            Self::Restart => (1012, "this node restarts; connect again"),
            Self::Unauthenticated => (4001, "sign in first"),
            Self::Superseded => (4003, "another connection took over"),
            Self::NoSession => (4004, "there is no such session"),
            Self::SlowReader => (4008, "messages were not read in time; connect again"),
            Self::Protocol => (4009, "the message cannot be read"),
            Self::AlreadyEnded => (4010, "the session had ended before"),
            Self::TooManyMessages => (4029, "too many messages"),
        }
    }

    /// Whether a client does right to connect again by itself.
    #[must_use]
    pub const fn invites_back(self) -> bool {
        matches!(self, Self::Restart | Self::SlowReader)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn close_codes_differ_and_their_reasons_fit_a_frame() {
        let codes: HashSet<_> = Close::ALL.iter().map(|close| close.code()).collect();
        assert_eq!(codes.len(), Close::ALL.len());
        assert!(Close::ALL.iter().all(|close| close.reason().len() <= 123));
    }
}
