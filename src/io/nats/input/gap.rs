//! Gaps in what is read: messages that were lost before squelch read them.

/// Messages of a stream that were never read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The stream.
    pub stream: String,
    /// How they were lost.
    pub cause: GapCause,
    /// When the stream that reading goes on in was created, nanoseconds since 1970.
    pub stream_created_ns: i64,
    /// Reading goes on after this message.
    pub after: u64,
}

/// How messages were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// The stream dropped them: they expired, were too many, or were purged or deleted.
    Dropped {
        /// The first that is missing.
        first: u64,
        /// The last that is missing.
        last: u64,
        /// Whether all of them were for squelch. Where it reads some subjects only, this is not known.
        exact: bool,
    },
    /// The stream was deleted and created again. What the old one held after this message was not read.
    Recreated {
        /// The last message that was read.
        read: u64,
    },
    /// The stream ends before a message that was read: it lost its end, or was restored from an old copy.
    CutShort {
        /// The last message that was read.
        read: u64,
        /// The last message of the stream.
        end: u64,
    },
}

impl Gap {
    /// How many messages are missing, at most; 0 where it cannot be known.
    pub fn messages(&self) -> u64 {
        match self.cause {
            GapCause::Dropped { first, last, .. } => last - first + 1,
            GapCause::Recreated { .. } | GapCause::CutShort { .. } => 0,
        }
    }

    /// The label under which it is counted.
    pub fn code(&self) -> &'static str {
        match self.cause {
            GapCause::Dropped { .. } => "dropped",
            GapCause::Recreated { .. } => "made_anew",
            GapCause::CutShort { .. } => "cut_short",
        }
    }

    /// All such labels.
    pub const CODES: [&'static str; 3] = ["dropped", "made_anew", "cut_short"];
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stream = &self.stream;
        match self.cause {
            GapCause::Dropped { first, last, exact } => {
                let (up_to, some) = if exact { ("", "") } else { ("up to ", ", perhaps of other subjects") };
                let number = self.messages();
                write!(f, "stream {stream} dropped {up_to}{number} messages before they were read ({first} to {last}{some})")
            }
            GapCause::Recreated { read } => {
                write!(f, "stream {stream} was deleted and created again: what it held after message {read} was never read")
            }
            GapCause::CutShort { read, end } => {
                write!(f, "stream {stream} ends at message {end}, but message {read} had been read: it lost its end")
            }
        }
    }
}
