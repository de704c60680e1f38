//! What happens to a simulated process, in which order: made of one seed, and small enough to be read.

use std::fmt;

use super::disk::{Harm, Torn};
use crate::support::Rng;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// More messages come into the stream.
    Arrive(u64),
    /// Up to so many messages are taken in as one batch.
    Read(u64),
    /// So many steps of storing are done.
    Store(u64),
    /// The next step of storing fails: nothing of it is done.
    Refuse,
    /// The next step of storing is done, and the process does not learn of it.
    LoseAnswer,
    /// The checkpoint that is kept while results are stored is safe.
    Behind,
    /// Nothing comes for so many milliseconds, and the process is told.
    Silence(u64),
    /// The process's clock goes on, or jumps, by so many milliseconds.
    Clock(u64),
    /// The stream drops its oldest messages, so many of them unread.
    Expire(u64),
    /// Another version of the rules.
    Rules(usize),
    /// Another version of the topology's file.
    Graph(usize),
    /// Another version of the topology's bucket.
    Bucket(usize),
    /// The process dies at once; another begins.
    Crash,
    /// The process dies while it keeps a checkpoint, if that is what it does next; another begins.
    Tear(Torn),
    /// The newest checkpoint is damaged.
    Harm(Harm),
    /// The process is asked to stop, finishes what it read, and another begins.
    Stop,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Arrive(messages) => write!(f, "{messages} messages arrive"),
            Act::Read(messages) => write!(f, "up to {messages} of them are taken in as one batch"),
            Act::Store(steps) => write!(f, "{steps} steps of storing"),
            Act::Refuse => f.write_str("the next step of storing fails"),
            Act::LoseAnswer => f.write_str("the next step of storing is done, its answer lost"),
            Act::Behind => f.write_str("a checkpoint that is kept meanwhile is safe"),
            Act::Silence(ms) => write!(f, "nothing comes for {ms} ms"),
            Act::Clock(ms) => write!(f, "the clock goes on by {ms} ms"),
            Act::Expire(messages) => write!(f, "the stream drops {messages} messages before they are read"),
            Act::Rules(version) => write!(f, "the rules are now version {version}"),
            Act::Graph(version) => write!(f, "the topology's file is now version {version}"),
            Act::Bucket(version) => write!(f, "the topology's bucket is now version {version}"),
            Act::Crash => f.write_str("the process dies, another begins"),
            Act::Tear(torn) => write!(f, "the process dies while it keeps a checkpoint ({torn:?}), another begins"),
            Act::Harm(harm) => write!(f, "the newest checkpoint is damaged ({harm:?})"),
            Act::Stop => f.write_str("the process is stopped, another begins"),
        }
    }
}

/// What may happen in a schedule besides messages that come and are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Crashes and failures of storing: every byte must come out as if nothing had happened.
    Crashes,
    /// Silence, other rules and graphs too.
    Undecided,
    /// Broken disks too.
    Disks,
}

const TORN: [Torn; 5] = [Torn::HalfSegment, Torn::Segment, Torn::Half, Torn::Beside, Torn::Moved];
const HARM: [Harm; 6] = [Harm::Flipped, Harm::CutOff, Harm::Emptied, Harm::Gone, Harm::SegmentFlipped, Harm::SegmentGone];

/// How often checkpoints are due, and what happens.
#[derive(Clone)]
pub struct Schedule {
    pub every_ms: u64,
    /// Pieces of checkpoints that last get a segment when they are as many bytes.
    pub segment_bytes_min: u64,
    pub acts: Vec<Act>,
}

impl Schedule {
    /// The schedule of a seed for a stream of so many messages and these numbers of versions.
    pub fn new(seed: u64, messages: u64, rules: usize, graphs: usize) -> Self {
        let rng = &mut Rng(seed ^ 0xFA17_5CED_0000);
        let kind = match rng.below(10) {
            0..4 => Kind::Crashes,
            4..9 => Kind::Undecided,
            _ => Kind::Disks,
        };
        let every_ms = [0, 2_000, 20_000, 600_000][rng.below(4) as usize];
        let segment_bytes_min = [0, 0, 4_000, 1 << 20][rng.below(4) as usize];
        let mut acts = Vec::new();
        let (mut arrived, batch) = (0, 1 + rng.below(12));
        while arrived < messages {
            let act = match rng.below(100) {
                0..30 => Act::Arrive(1 + rng.below(5)),
                30..52 => Act::Read(1 + rng.below(batch)),
                52..73 => Act::Store(1 + rng.below(6)),
                73..76 => Act::Behind,
                76..79 => Act::Refuse,
                79..82 => Act::LoseAnswer,
                82..85 => Act::Clock([1, 700, 5_000, 90_000][rng.below(4) as usize]),
                85..89 => Act::Crash,
                89..91 => Act::Tear(TORN[rng.below(TORN.len() as u64) as usize]),
                91 => Act::Stop,
                _ if kind == Kind::Crashes => continue,
                92 if rng.below(3) == 0 => Act::Expire(1 + rng.below(4)),
                92..95 => Act::Silence([1_000, 20_000, 60_000, 150_000][rng.below(4) as usize]),
                95 => Act::Rules(rng.below(rules as u64) as usize),
                96 => Act::Graph(rng.below(graphs as u64) as usize),
                97 => Act::Bucket(rng.below(graphs as u64) as usize),
                _ if kind == Kind::Undecided => continue,
                _ => Act::Harm(HARM[rng.below(HARM.len() as u64) as usize]),
            };
            if let Act::Arrive(more) = act {
                arrived += more;
            }
            acts.push(act);
        }
        Self { every_ms, segment_bytes_min, acts }
    }
}
