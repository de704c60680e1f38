//! A seeded simulation: the code of `squelch run` between a simulated server and disk, with a simulated clock, killed, re-batched,
//! redelivered and refused at every point, thousands of times a minute. What subscribers got must be what a process gives that
//! is never interrupted, byte for byte.
//!
//! `SIMULATION_SEED=… SIMULATION_SCHEDULES=… cargo test --test it simulation` repeats a run; a failure prints what to repeat.

mod broker;
mod disk;
mod history;
mod rules;
mod schedule;
mod shrink;
mod system;
mod world;

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use squelch::io::nats::output::results::{RejectedLine, RevisionMessage};
use squelch::process::telemetry::Telemetry;

use self::broker::Broker;
use self::disk::Disk;
use self::history::{Files, Took, fresh, uninterrupted};
use self::schedule::Schedule;
use self::system::{System, out_rejected};
use self::world::World;
use crate::support::from_env;

/// Schedules that share a world: what an uninterrupted process makes of it is found out once.
const PER_WORLD: u64 = 6;
/// Messages that the uninterrupted process takes in at once.
const BATCH: usize = 16;

#[derive(Default)]
struct Counts {
    schedules: AtomicU64,
    messages: AtomicU64,
    resumed: AtomicU64,
    revisions: AtomicU64,
    excused: AtomicU64,
    packs: Mutex<BTreeMap<String, u64>>,
}

#[test]
fn whatever_happens_subscribers_get_what_they_would_have_got() {
    let schedules = from_env("SIMULATION_SCHEDULES", 600);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let first = from_env("SIMULATION_SEED", now.as_nanos() as u64 % 1_000_000_000);
    let began = Instant::now();
    let counts = Counts::default();
    let next = AtomicU64::new(first / PER_WORLD);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let mut disk = Disk::new();
                let telemetry = Arc::new(Telemetry::default());
                loop {
                    let block = next.fetch_add(1, Ordering::Relaxed);
                    let seeds = (block * PER_WORLD).max(first)..((block + 1) * PER_WORLD).min(first + schedules);
                    if seeds.is_empty() || failed.lock().unwrap().is_some() {
                        return;
                    }
                    let mut known = Known::default();
                    let world = World::new(block);
                    *counts.packs.lock().unwrap().entry(world.pack.name.clone()).or_default() += seeds.end - seeds.start;
                    for seed in seeds {
                        let schedule = schedule_of(&world, seed);
                        if let Err(what) = run(&world, &schedule, &mut disk, &telemetry, &mut known, &counts) {
                            let report = shrink::report(&world, &schedule, seed, what, &mut |world, schedule| {
                                run(world, schedule, &mut disk, &telemetry, &mut Known::default(), &Counts::default()).err()
                            });
                            failed.lock().unwrap().get_or_insert(report);
                            return;
                        }
                    }
                }
            });
        }
    });
    if let Some(report) = failed.into_inner().unwrap() {
        panic!("{report}");
    }
    let (done, minutes) = (counts.schedules.load(Ordering::Relaxed), began.elapsed().as_secs_f64() / 60.0);
    let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
    eprintln!(
        "simulation: {done} schedules from seed {first}, {:.0} a minute; {} messages, {} revisions, {} restarts from a checkpoint; \
         {} schedules only asked for what holds after a lost checkpoint or changed files; {} kinds of worlds",
        done as f64 / minutes,
        load(&counts.messages),
        load(&counts.revisions),
        load(&counts.resumed),
        load(&counts.excused),
        counts.packs.into_inner().unwrap().len(),
    );
    assert_eq!(done, schedules);
}

fn schedule_of(world: &World, seed: u64) -> Schedule {
    Schedule::new(seed, world.messages.len() as u64, world.pack.sets(), world.graphs.len())
}

/// What an uninterrupted process makes of the messages alone, once it was asked.
#[derive(Default)]
struct Known(Option<Vec<RevisionMessage>>);

/// Runs a schedule. A panic is a failure as any other.
fn run(
    world: &World,
    schedule: &Schedule,
    disk: &mut Disk,
    telemetry: &Arc<Telemetry>,
    known: &mut Known,
    counts: &Counts,
) -> Result<(), String> {
    let whole = || {
        let mut system = System::new(world, disk, schedule, Arc::clone(telemetry));
        system.start()?;
        schedule.acts.iter().try_for_each(|act| system.act(*act))?;
        system.finish()?;
        counts.schedules.fetch_add(1, Ordering::Relaxed);
        counts.messages.fetch_add(world.messages.len() as u64, Ordering::Relaxed);
        counts.revisions.fetch_add(system.broker.incidents.len() as u64, Ordering::Relaxed);
        counts.resumed.fetch_add(system.resumed, Ordering::Relaxed);
        counts.excused.fetch_add(u64::from(system.excused.is_some()), Ordering::Relaxed);
        judge(world, &system, known)
    };
    catch_unwind(AssertUnwindSafe(whole)).unwrap_or_else(|panic| Err(format!("panicked: {}", said(panic.as_ref()))))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "(no text)".into())
}

/// Whether subscribers got what they should have.
fn judge(world: &World, system: &System<'_>, known: &mut Known) -> Result<(), String> {
    let Broker { incidents, alerts, rejected, bucket, .. } = &system.broker;
    let files = Files { rules: 0, graph: 0, bucket: None };
    let (_, mut decoder) = fresh(world, files);
    let mut bad = BTreeMap::new();
    for sequence in 1..=world.messages.len() as u64 {
        history::decode(world, sequence, &mut decoder, &mut |one| {
            bad.insert((sequence, one.line), out_rejected(world, sequence, one));
        });
    }
    // What was read once and was gone when it had to be read again may be among them or not.
    let is_told = |((sequence, _), _): &(&(u64, usize), &RejectedLine)| !system.skipped.contains(sequence);
    if !bad.iter().filter(is_told).eq(rejected.iter().filter(is_told)) {
        return Err(format!("rejected input should be {:?}, and is {:?}", bad.keys(), rejected.keys()));
    }
    if system.excused.is_some() {
        return Ok(());
    }
    let history = system.history();
    let plain = system.began == files && history.iter().all(|took| matches!(took, Took::Message(_)));
    let own;
    let want = if plain {
        if known.0.is_none() {
            known.0 = Some(uninterrupted(world, files, history, BATCH)?);
        }
        known.0.as_deref().unwrap_or_default()
    } else {
        own = uninterrupted(world, system.began, history, BATCH)?;
        &own
    };
    let changes = want.iter().flat_map(|revision| &revision.alerts).map(|update| (&update.message_id, update));
    if !changes.collect::<BTreeMap<_, _>>().into_iter().eq(alerts) {
        return Err(format!("other changes of alerts are published than happened\n  taken in: {history:?}"));
    }
    for at in 0..want.len().max(incidents.len()) {
        let want = want.get(at).map(|revision| RevisionMessage { alerts: Vec::new(), ..revision.clone() });
        let (want, got) = (want.as_ref(), incidents.get(at));
        if want != got {
            return Err(format!("result {at} differs\n  want: {}\n  got:  {}\n  taken in: {history:?}", shown(want), shown(got)));
        }
    }
    let newest: BTreeMap<_, _> = incidents.iter().map(|revision| (&revision.incident, revision)).collect();
    let open: BTreeMap<_, _> =
        newest.into_iter().filter(|(_, last)| last.open).map(|(id, last)| (id.clone(), last.body.clone())).collect();
    if open != *bucket {
        return Err(format!("the bucket should hold {:?}, and holds {:?}", open.keys(), bucket.keys()));
    }
    Ok(())
}

fn shown(revision: Option<&RevisionMessage>) -> String {
    revision.map_or("(nothing)".into(), |revision| format!("{} {}", revision.message_id, String::from_utf8_lossy(&revision.body)))
}
