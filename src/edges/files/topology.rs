//! The topology as a YAML or JSON file: `nodes` and `edges`, an edge from the dependent to its dependency.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::topology::{Node, Parts};
use crate::words::limits::TOPOLOGY_FILE_BYTES_MAX;

/// The file is no topology.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// It could not be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// It is too large.
    #[error("{}: {bytes} bytes, the limit is {TOPOLOGY_FILE_BYTES_MAX}", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// It is not of the expected shape.
    #[error(
        "{path}:{place}{message}\n  expected: nodes: [{{name: chat, kind: service}}, …] and edges: [{{from: chat, to: postgres}}, …], a dependent comes `from`, its dependency `to`"
    )]
    Shape {
        /// The file.
        path: String,
        /// `line:column: `, where known.
        place: String,
        /// What is wrong.
        message: String,
    },
}

#[derive(Deserialize)]
struct TopologyFile {
    #[serde(default)]
    nodes: Vec<NodeEntry>,
    #[serde(default)]
    edges: Vec<EdgeEntry>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NodeEntry {
    Name(String),
    Full { name: String, kind: Option<String>, env: Option<String> },
}

#[derive(Deserialize)]
struct EdgeEntry {
    from: String,
    to: String,
    kind: Option<String>,
}

/// Reads a topology file.
pub fn read(path: &Path) -> Result<Parts, TopologyError> {
    let fail = |cause| TopologyError::Read { path: path.to_path_buf(), cause };
    let bytes = std::fs::metadata(path).map_err(fail)?.len();
    if bytes > TOPOLOGY_FILE_BYTES_MAX {
        return Err(TopologyError::Size { path: path.to_path_buf(), bytes });
    }
    parse(&std::fs::read_to_string(path).map_err(fail)?, &path.display().to_string())
}

/// Reads the text of a topology file; JSON is YAML too.
pub fn parse(text: &str, path: &str) -> Result<Parts, TopologyError> {
    let options = serde_saphyr::options! { with_snippet: false };
    // JSON goes through the JSON parser: it is faster on large graphs and its messages fit the text.
    let file: TopologyFile = if text.trim_start().starts_with('{') {
        serde_json::from_str(text)
            .map_err(|error| shape(path, Some((error.line() as u64, error.column() as u64)), &error.to_string()))?
    } else {
        serde_saphyr::from_str_with_options::<Option<TopologyFile>>(text, options)
            .map_err(|error| shape(path, error.location().map(|at| (at.line(), at.column())), &error.to_string()))?
            .unwrap_or(TopologyFile { nodes: Vec::new(), edges: Vec::new() })
    };
    let nodes = file.nodes.into_iter().map(|entry| match entry {
        NodeEntry::Name(name) => Node { name: name.into(), kind: "service".into(), env: None },
        NodeEntry::Full { name, kind, env } => Node { name: name.into(), kind: kind.unwrap_or_else(|| "service".into()), env },
    });
    let edges = file.edges.into_iter().map(|edge| (edge.from, edge.to, edge.kind.unwrap_or_else(|| "calls".into())));
    Ok(Parts { nodes: nodes.collect(), edges: edges.collect() })
}

fn shape(path: &str, place: Option<(u64, u64)>, message: &str) -> TopologyError {
    let place = place.map_or(" ".into(), |(line, column)| format!("{line}:{column}: "));
    TopologyError::Shape { path: path.to_string(), place, message: message.to_string() }
}
