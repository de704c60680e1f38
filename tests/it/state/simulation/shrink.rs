//! A failure made small: messages and acts are left out as long as it fails without them.

use std::fmt::Write;
use std::rc::Rc;

use super::schedule::Schedule;
use super::world::World;

/// Runs that shrinking may take.
const TRIES: usize = 150;

/// The failure in words, made small.
pub fn report(
    world: &World,
    schedule: &Schedule,
    seed: u64,
    what: String,
    run: &mut dyn FnMut(&World, &Schedule) -> Option<String>,
) -> String {
    let mut tries = TRIES;
    let (mut world, mut schedule, mut what) = (world.clone(), schedule.clone(), what);
    let before = (world.messages.len(), schedule.acts.len());
    loop {
        let size = (world.messages.len(), schedule.acts.len());
        let messages = world.messages.to_vec();
        let messages = smallest(messages, &mut tries, &mut |fewer| {
            let fewer = World { messages: Rc::new(fewer.to_vec()), ..world.clone() };
            run(&fewer, &schedule).inspect(|failure| what.clone_from(failure)).is_some()
        });
        world.messages = Rc::new(messages);
        schedule.acts = smallest(schedule.acts.clone(), &mut tries, &mut |fewer| {
            let fewer = Schedule { acts: fewer.to_vec(), ..schedule };
            run(&world, &fewer).inspect(|failure| what.clone_from(failure)).is_some()
        });
        if tries == 0 || size == (world.messages.len(), schedule.acts.len()) {
            break;
        }
    }
    let mut text = format!(
        "{what}\n\nSIMULATION_SEED={seed} SIMULATION_SCHEDULES=1 repeats it; world {} ({}), shrunk from {} messages and {} acts:\n",
        world.seed, world.pack.name, before.0, before.1
    );
    writeln!(text, "  a checkpoint is due every {} ms; bucket: {}", schedule.every_ms, world.bucket).unwrap();
    for (at, message) in world.messages.iter().enumerate() {
        let body = String::from_utf8_lossy(&message.body);
        writeln!(text, "  message {} on {} at {}:", at + 1, message.subject, message.received_at).unwrap();
        body.lines().for_each(|line| writeln!(text, "    {line}").unwrap());
    }
    schedule.acts.iter().for_each(|act| writeln!(text, "  - {act}").unwrap());
    text + "  - all else arrives and is stored"
}

/// Leaves parts of a list out, the largest first, as long as it fails without them.
fn smallest<T: Clone>(mut all: Vec<T>, tries: &mut usize, fails: &mut dyn FnMut(&[T]) -> bool) -> Vec<T> {
    let mut part = all.len().div_ceil(2);
    while part > 0 {
        let mut at = 0;
        while at < all.len() && *tries > 0 {
            let without: Vec<T> = all[..at].iter().chain(&all[(at + part).min(all.len())..]).cloned().collect();
            *tries -= 1;
            if fails(&without) {
                all = without;
            } else {
                at += part;
            }
        }
        part = if part == 1 { 0 } else { part.div_ceil(2) };
    }
    all
}
