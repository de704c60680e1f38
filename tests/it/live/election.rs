//! A cluster that has no leader yet when squelch starts.

use crate::support::nats::NatsServer;
use crate::support::process::Mortal;

#[test]
fn a_start_waits_for_the_election_of_a_leader() {
    let mut servers = NatsServer::cluster(3);
    // One of three alone elects nobody.
    servers[1].stop();
    servers[2].stop();
    servers[0].restart();
    let mut squelch = Mortal::new(&servers[0], "");
    squelch.spawn();
    squelch.wait_for_log("JetStream may be electing a leader: waiting for");
    servers[1].restart();
    servers[2].restart();
    squelch.wait_for("readyz", "ready\n");
    assert!(!squelch.has_ended(), "{}", squelch.log());
    squelch.stop();
}
