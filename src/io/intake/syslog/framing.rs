//! Where a syslog message ends in a TCP stream (RFC 6587): after as many bytes as a number before it says, or at the end of the line. And how
//! several are written into one body.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::model::limits::SYSLOG_MESSAGE_BYTES_MAX;

/// The stream cannot be read on: nobody knows where the next message begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Takes the next message from what has come; `None` where it has not come whole.
pub fn next(buffer: &mut BytesMut) -> Result<Option<Bytes>, Unreadable> {
    loop {
        match buffer.first() {
            None => return Ok(None),
            // Between counted messages some senders leave a line break.
            Some(b'\n' | b'\r' | b'\0') => buffer.advance(1),
            Some(b'1'..=b'9') => return counted(buffer),
            Some(_) => return line(buffer),
        }
    }
}

/// The largest number of digits that a length may have.
const DIGITS_MAX: usize = 7;

fn counted(buffer: &mut BytesMut) -> Result<Option<Bytes>, Unreadable> {
    let Some(digits) = buffer.iter().take(DIGITS_MAX + 1).position(|byte| !byte.is_ascii_digit()) else {
        return if buffer.len() > DIGITS_MAX { line(buffer) } else { Ok(None) };
    };
    if buffer[digits] != b' ' {
        return line(buffer);
    }
    let length = std::str::from_utf8(&buffer[..digits]).ok().and_then(|digits| digits.parse::<usize>().ok());
    let length = length.filter(|length| *length <= SYSLOG_MESSAGE_BYTES_MAX).ok_or(Unreadable)?;
    if buffer.len() < digits + 1 + length {
        return Ok(None);
    }
    buffer.advance(digits + 1);
    Ok(Some(buffer.split_to(length).freeze()))
}

fn line(buffer: &mut BytesMut) -> Result<Option<Bytes>, Unreadable> {
    match buffer.iter().position(|byte| *byte == b'\n') {
        Some(end) if end <= SYSLOG_MESSAGE_BYTES_MAX => {
            let mut line = buffer.split_to(end + 1);
            line.truncate(end);
            if line.ends_with(b"\r") {
                line.truncate(end - 1);
            }
            Ok(Some(line.freeze()))
        }
        None if buffer.len() <= SYSLOG_MESSAGE_BYTES_MAX => Ok(None),
        _ => Err(Unreadable),
    }
}

/// Several messages in one body: a line each; where one has several lines, each with its length before it.
pub fn join(messages: &[Bytes]) -> Bytes {
    let mut body = BytesMut::with_capacity(messages.iter().map(|message| message.len() + DIGITS_MAX + 1).sum());
    let one_line_each = !messages.iter().any(|message| message.contains(&b'\n'));
    for message in messages {
        if one_line_each {
            body.extend_from_slice(message);
            body.extend_from_slice(b"\n");
        } else {
            body.extend_from_slice(format!("{} ", message.len()).as_bytes());
            body.extend_from_slice(message);
        }
    }
    body.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(stream: &[u8], chunk: usize) -> (Vec<Bytes>, Result<(), Unreadable>) {
        let (mut buffer, mut got) = (BytesMut::new(), Vec::new());
        for chunk in stream.chunks(chunk) {
            buffer.extend_from_slice(chunk);
            loop {
                match next(&mut buffer) {
                    Ok(Some(message)) => got.push(message),
                    Ok(None) => break,
                    Err(error) => return (got, Err(error)),
                }
            }
        }
        (got, Ok(()))
    }

    #[test]
    fn messages_end_where_their_length_or_their_line_says() {
        let stream = b"<13>1 a\r\n9 <13>1 b\nc\n7 <13>1 d<13>1 e\n\n<13>1 unfinished";
        for chunk in [1, 2, 3, 7, 100] {
            let (got, end) = all(stream, chunk);
            assert_eq!(got, ["<13>1 a", "<13>1 b\nc", "<13>1 d", "<13>1 e"], "in chunks of {chunk}");
            assert_eq!(end, Ok(()));
        }
    }

    #[test]
    fn a_message_without_an_end_is_given_up() {
        let endless = vec![b'a'; SYSLOG_MESSAGE_BYTES_MAX + 1];
        assert_eq!(all(&endless, 4_096).1, Err(Unreadable));
        assert_eq!(all(b"9999999 <13>", 100).1, Err(Unreadable));
        // A line may begin with a number.
        assert_eq!(all(b"12345678901 a\n12a\n", 100).0, ["12345678901 a", "12a"]);
    }

    #[test]
    fn what_is_joined_can_be_taken_apart() {
        for messages in [&["<13>1 a", "<13>1 b"][..], &["<13>1 a\nb", "<13>1 c"], &["<13>1 a"]] {
            let messages: Vec<Bytes> = messages.iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
            assert_eq!(all(&join(&messages), 5).0, messages);
        }
    }
}
