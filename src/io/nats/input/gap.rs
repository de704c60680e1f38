//! Holes in what is read: messages that went before squelch came to them.

/// Messages of a stream that were never read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The stream.
    pub stream: String,
    /// What became of them.
    pub cause: GapCause,
    /// The birth of the stream that reading goes on in, nanoseconds since 1970.
    pub born_ns: i64,
    /// Reading goes on after this message.
    pub after: u64,
}

/// What became of messages that were never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// The stream dropped them: they were too old or too many, or somebody purged or deleted them.
    Dropped {
        /// The first that is missing.
        first: u64,
        /// The last that is missing.
        last: u64,
        /// Whether all of them were for squelch. Where it reads some subjects only, nobody knows whose they were.
        exact: bool,
    },
    /// There is another stream under this name; of the old one, what came after this message was not read.
    MadeAnew {
        /// The last message that was read.
        read: u64,
    },
    /// The stream ends before a message that was read: it lost its end, or an old copy of it was put back.
    CutShort {
        /// The last message that was read.
        read: u64,
        /// The last that the stream has given out.
        end: u64,
    },
}

impl Gap {
    /// How many messages are missing, at most; 0 where nobody can know.
    pub fn messages(&self) -> u64 {
        match self.cause {
            GapCause::Dropped { first, last, .. } => last - first + 1,
            GapCause::MadeAnew { .. } | GapCause::CutShort { .. } => 0,
        }
    }

    /// The word under which it is counted.
    pub fn code(&self) -> &'static str {
        match self.cause {
            GapCause::Dropped { .. } => "dropped",
            GapCause::MadeAnew { .. } => "made_anew",
            GapCause::CutShort { .. } => "cut_short",
        }
    }

    /// All such words.
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
            GapCause::MadeAnew { read } => {
                write!(f, "stream {stream} was made anew: what it held after message {read} was never read")
            }
            GapCause::CutShort { read, end } => {
                write!(f, "stream {stream} ends at message {end}, but message {read} had been read: it lost its end")
            }
        }
    }
}
