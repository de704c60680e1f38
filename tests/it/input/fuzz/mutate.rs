//! Inputs that are nearly good: some bytes of a good one changed, left out, repeated, or put in the place of others.

use crate::support::Rng;

/// Inputs are not made larger than this.
const BYTES_MAX: usize = 1 << 20;

/// Numbers at which readers stumble, as bytes: little-endian words, and lengths that never end.
const NUMBERS: [&[u8]; 10] = [
    &[0; 4],
    &[0xff; 4],
    &[0xff; 8],
    &[0xff, 0xff, 0xff, 0x7f],
    &[0, 0, 0, 0x80],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0, 0, 0, 0, 0, 0, 0, 0x80],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x80, 0x80, 0x80, 0x80, 0x10],
];

/// One of the corpus, changed a little.
pub fn mutate(corpus: &[Vec<u8>], tokens: &[&str], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = one_of(corpus, rng).clone();
    for _ in 0..1 + rng.below(5) {
        change(&mut bytes, corpus, tokens, rng);
        bytes.truncate(BYTES_MAX);
    }
    bytes
}

fn one_of<'a, T>(all: &'a [T], rng: &mut Rng) -> &'a T {
    &all[rng.below(all.len() as u64) as usize]
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], tokens: &[&str], rng: &mut Rng) {
    let at = rng.below(bytes.len() as u64 + 1) as usize;
    let until = bytes.len().min(at + 1 + (rng.below(40) as usize) * (1 + rng.below(3) as usize));
    match rng.below(10) {
        0..2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
        2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b' '][rng.below(8) as usize];
            }
        }
        3 => _ = bytes.drain(at..until),
        4 => {
            let part = bytes[at..until].to_vec();
            let most = if rng.below(8) == 0 { 200 } else { 3 };
            let times = 1 + rng.below(most);
            (0..times).for_each(|_| _ = bytes.splice(at..at, part.iter().copied()));
        }
        5 => bytes.truncate(at),
        6 => {
            let other = one_of(corpus, rng);
            let from = rng.below(other.len() as u64 + 1) as usize;
            let part = &other[from..other.len().min(from + rng.below(300) as usize)];
            _ = bytes.splice(at..until, part.iter().copied());
        }
        7 => {
            let number = one_of(&NUMBERS, rng);
            let end = bytes.len().min(at + number.len());
            _ = bytes.splice(at..end, number.iter().copied());
        }
        _ if tokens.is_empty() => {
            let number = one_of(&NUMBERS, rng);
            _ = bytes.splice(at..at, number.iter().copied());
        }
        _ => {
            let token = one_of(tokens, rng);
            _ = bytes.splice(at..at, token.bytes());
        }
    }
}
