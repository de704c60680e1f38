//! Bytes that are written as hexadecimal digits: hashes and signatures.

/// The bytes; `None` where a character is no digit, or one is left over.
pub fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let digit = |digit: u8| (digit as char).to_digit(16);
    let pairs = digits.len().is_multiple_of(2).then(|| digits.chunks_exact(2))?;
    pairs.map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn hexadecimal_is_read_to_the_digit() {
        assert_eq!(bytes("00fFa1"), Some(vec![0, 255, 161]));
        assert_eq!((bytes("0"), bytes("0g"), bytes("é0"), bytes("+1")), (None, None, None, None));
    }
}
