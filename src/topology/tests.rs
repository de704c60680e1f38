//! Graphs of every shape: what is reached from where, and that a hub costs no more than a limit.

use super::*;

fn graph(edges: &[(&str, &str)]) -> Topology {
    Topology::new(TopologyDefinition { nodes: Vec::new(), edges: edges.iter().map(|(from, to)| Edge::calls(from, to)).collect() })
}

fn names(found: &BTreeMap<Arc<str>, usize>) -> String {
    found.iter().map(|(name, hops)| format!("{name}{hops}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_shape_is_fine() {
    for (edges, from, dependencies, dependents) in [
        (&[][..], "a", "", ""),
        (&[("a", "a")], "a", "", ""),
        (&[("a", "a")], "nobody", "", ""),
        (&[("a", "b"), ("b", "a")], "a", "b1", "b1"),
        (&[("a", "b"), ("b", "c"), ("c", "a")], "a", "b1 c2", "b2 c1"),
        (&[("a", "b"), ("a", "b"), ("b", "b")], "b", "", "a1"),
        (&[("a", "d"), ("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")], "a", "b1 c2 d1 e2", ""),
    ] {
        let graph = graph(edges);
        assert_eq!(names(&graph.dependencies(from, "", 4)), dependencies, "{edges:?}");
        assert_eq!(names(&graph.dependents(from, "", 4)), dependents, "{edges:?}");
    }
}

#[test]
fn hops_bound_the_way() {
    let graph = graph(&[("a", "b"), ("b", "c"), ("c", "d")]);
    assert_eq!(names(&graph.dependencies("a", "", 2)), "b1 c2");
    assert_eq!(names(&graph.dependencies("a", "", 0)), "");
    let path = |from, to, hops| graph.path(from, to, "", hops).map(|path| path.join(" "));
    assert_eq!(path("a", "d", 3).as_deref(), Some("a b c d"));
    assert_eq!((path("a", "d", 2), path("d", "a", 9), path("a", "nobody", 9)), (None, None, None));
    assert_eq!(path("a", "a", 0).as_deref(), Some("a"));
}

#[test]
fn environments_are_kept_apart() {
    let here = |from: &str, to: &str, env: &str| Edge { env: Some(env.into()), ..Edge::calls(from, to) };
    let nodes = vec![Node { name: "node-5".into(), kind: NodeKind::Host, env: Some("production".into()) }];
    let graph = Topology::new(TopologyDefinition {
        nodes,
        edges: vec![
            Edge::calls("db", "node-5"),
            here("chat", "db", "production"),
            here("chat", "db", "staging"),
            here("chat", "mail", "staging"),
            here("wiki", "db", "staging"),
            Edge::calls("wiki", "db"),
        ],
    });
    assert_eq!(names(&graph.dependencies("chat", "production", 4)), "db1 node-52");
    assert_eq!(names(&graph.dependencies("chat", "staging", 4)), "db1 mail1");
    assert_eq!(names(&graph.dependencies("chat", "test", 4)), "");
    let direct = ["production", "staging", "test"].map(|env| graph.direct_dependents(graph.number("db").unwrap(), env));
    assert_eq!(direct, [2, 2, 1], "wiki uses it everywhere");
    assert_eq!(graph.number("nobody"), None);
    assert_eq!(graph.size().1, 5, "what holds everywhere needs no edge of its own in one environment");
}

#[test]
fn equal_graphs_have_equal_hashes() {
    let one = graph(&[("a", "b"), ("b", "c")]);
    let same = graph(&[("b", "c"), ("a", "b"), ("a", "b")]).with_version(7);
    assert_eq!((one.stamp().hash, one.version(), same.version()), (same.stamp().hash, 1, 7));
    assert_eq!(Topology::new(one.parts()).stamp(), one.stamp());
    for other in [graph(&[("a", "b")]), graph(&[("b", "a"), ("b", "c")]), graph(&[]), graph(&[("a", "bb"), ("bb", "c")])] {
        assert_ne!(other.stamp().hash, one.stamp().hash);
    }
    let runs = Edge { kind: EdgeKind::RunsOn, ..Edge::calls("a", "b") };
    let host = Topology::new(TopologyDefinition { nodes: Vec::new(), edges: vec![runs] });
    assert_eq!(host.node("b").map(|node| &node.kind), Some(&NodeKind::Host));
    assert_ne!(host.stamp().hash, graph(&[("a", "b")]).stamp().hash);
}

#[test]
fn words_are_kept() {
    for word in ["service", "host", "database", "queue", "external", "client"] {
        assert_eq!(NodeKind::from(word.to_string()).to_string(), word);
    }
    for word in ["calls", "uses", "runs_on", "replicates"] {
        assert_eq!(EdgeKind::from(word.to_string()).to_string(), word);
    }
}

/// A hub that a hundred thousand services use, in a chain behind a gateway. What is looked at is bounded, by count and not by luck.
#[test]
fn a_hundred_thousand_nodes_are_fine() {
    let service = |i: usize| format!("service-{i:06}");
    let mut edges: Vec<Edge> = (0..100_000).map(|i| Edge::calls(&service(i), "hub")).collect();
    edges.extend((1..100_000).map(|i| Edge::calls(&service(i - 1), &service(i))));
    edges.push(Edge::calls("hub", "disk"));
    let graph = Topology::new(TopologyDefinition { nodes: Vec::new(), edges });
    assert_eq!(graph.size(), (100_002, 200_000));

    let around = graph.reach("hub", "production", 4, Way::Dependents);
    assert_eq!((around.hops.len(), around.cut), (REACH_NODES_MAX, true));
    assert!(around.hops.contains_key("service-000000") && !around.hops.contains_key("service-099999"), "the first by name");
    assert_eq!(names(&graph.dependencies("hub", "production", 4)), "disk1");
    let one = graph.reach(&service(50_000), "production", 4, Way::Dependencies);
    assert_eq!((names(&one.hops).contains("hub1"), one.hops.len(), one.cut), (true, 6, false));
    let far = graph.reach(&service(0), "production", 1_000_000, Way::Dependencies);
    assert_eq!((far.hops.len(), far.cut), (REACH_NODES_MAX, true));

    assert_eq!(graph.direct_dependents(graph.number("hub").unwrap(), "production"), 100_000);
    let mut looked_at = 0;
    let start = graph.find("hub").expect("the hub");
    graph.walk(start, "production", 4, Direction::Incoming, &mut |_, _, _| {
        looked_at += 1;
        true
    });
    assert_eq!(looked_at, REACH_NODES_MAX);
}
