//! The headers of a message in the stream of partials: which partition counted which part of the stream of events.

use async_nats::HeaderMap;

use crate::io::nats::client::settings::PartitionsConfig;

const PARTITION: &str = "Squelch-Partition";
const STRETCH: &str = "Squelch-Stretch";
const PIECE: &str = "Squelch-Piece";
const CREATED: &str = "Squelch-Born";

/// The headers of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialHeader {
    /// The partition, from 0.
    pub partition: usize,
    /// Of how many.
    pub partitions: usize,
    /// When the stream of events was created, nanoseconds since 1970.
    pub stream_created_ns: i64,
    /// The partial counts the events after this message
    pub after: u64,
    /// up to this one.
    pub until: u64,
    /// Which piece of the partial the message holds, from 1, and of how many.
    pub piece: (usize, usize),
}

/// A message on the subject that is no partial.
#[derive(Debug, thiserror::Error)]
#[error("a message on {subject} is no partial ({what}): only workers may write to {subject}")]
pub struct ForeignMessage {
    /// The subject.
    pub subject: String,
    /// What is wrong with the message.
    pub what: String,
}

impl PartialHeader {
    /// The partition as people write it.
    pub fn name(&self) -> String {
        format!("{}/{}", self.partition + 1, self.partitions)
    }

    pub(super) fn to_headers(self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let (piece, pieces) = self.piece;
        headers.insert(PARTITION, self.name().as_str());
        headers.insert(STRETCH, format!("{}-{}", self.after, self.until).as_str());
        headers.insert(PIECE, format!("{piece}/{pieces}").as_str());
        headers.insert(CREATED, self.stream_created_ns.to_string().as_str());
        headers
    }

    pub(super) fn parse(headers: Option<&HeaderMap>) -> Option<Self> {
        let text = |name: &str| headers?.get(name).map(|value| value.as_str());
        let two = |name: &str, mark: char| text(name)?.split_once(mark);
        let number = |text: &str| text.parse::<usize>().ok();
        let (partition, partitions) = two(PARTITION, '/')?;
        let (after, until) = two(STRETCH, '-')?;
        let (piece, pieces) = two(PIECE, '/')?;
        Some(Self {
            partition: number(partition)?.checked_sub(1)?,
            partitions: number(partitions)?,
            stream_created_ns: text(CREATED)?.parse().ok()?,
            after: after.parse().ok()?,
            until: until.parse().ok()?,
            piece: (number(piece)?, number(pieces)?),
        })
    }
}

/// The subject of a partition, from 0, of the squelch whose consumer is called `consumer`.
pub fn subject(config: &PartitionsConfig, consumer: &str, partition: usize) -> String {
    format!("{}.{consumer}.{}", config.subject, partition + 1)
}
