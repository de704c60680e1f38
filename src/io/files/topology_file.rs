//! The topology as a YAML or JSON file: `nodes` and `edges`, an edge from the dependent to its dependency.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::io::files::bounded_text;
use crate::model::diagnostic::report::Report;
use crate::model::diagnostic::{Diagnostic, nearest, offset_of, yaml_errors};
use crate::model::limits::TOPOLOGY_FILE_BYTES_MAX;
use crate::topology::node_kind::{EdgeKind, NodeKind};
use crate::topology::{Edge, Node, TopologyDefinition};

/// The file is no topology.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// It could not be read.
    #[error("cannot read the topology {}", path.display())]
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
    #[error("{0}")]
    Shape(Report),
}

/// What a topology looks like, for who wrote something else.
const EXAMPLE: &str =
    "nodes: [{name: chat, kind: service}] and edges: [{from: chat, to: postgres}]; a dependent comes `from`, its dependency `to`";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopologyFile {
    #[serde(default)]
    nodes: Vec<NodeEntry>,
    #[serde(default)]
    edges: Vec<EdgeEntry>,
}

/// A node is a name, or a map of fields of which others may be there: exports carry what they like.
struct NodeEntry(Node);

struct EdgeEntry(Edge);

impl<'de> Deserialize<'de> for NodeEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NodeVisitor;
        impl<'de> Visitor<'de> for NodeVisitor {
            type Value = NodeEntry;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a name or a map with a `name`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<NodeEntry, E> {
                Ok(NodeEntry(Node { name: name.into(), kind: NodeKind::default(), env: None }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<NodeEntry, A::Error> {
                let mut fields = Fields::read(map, &["name", "kind", "env"])?;
                let name = fields.required("name", "a node")?;
                let kind = fields.take("kind").map(NodeKind::from).unwrap_or_default();
                Ok(NodeEntry(Node { name: name.into(), kind, env: fields.take("env") }))
            }
        }
        deserializer.deserialize_any(NodeVisitor)
    }
}

impl<'de> Deserialize<'de> for EdgeEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EdgeVisitor;
        impl<'de> Visitor<'de> for EdgeVisitor {
            type Value = EdgeEntry;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map with `from` and `to`")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EdgeEntry, A::Error> {
                let mut fields = Fields::read(map, &["from", "to", "kind", "env"])?;
                let (from, to) = (fields.required("from", "an edge")?, fields.required("to", "an edge")?);
                let kind = fields.take("kind").map(EdgeKind::from).unwrap_or_default();
                Ok(EdgeEntry(Edge { from: from.into(), to: to.into(), kind, env: fields.take("env") }))
            }
        }
        deserializer.deserialize_any(EdgeVisitor)
    }
}

/// The texts of one node or edge, and the names of what else it holds.
struct Fields {
    known: Vec<(&'static str, Option<String>)>,
    unknown: Vec<String>,
}

impl Fields {
    fn read<'de, A: MapAccess<'de>>(mut map: A, names: &[&'static str]) -> Result<Self, A::Error> {
        let mut fields = Self { known: Vec::new(), unknown: Vec::new() };
        while let Some(key) = map.next_key::<String>()? {
            match names.iter().find(|name| **name == key) {
                Some(name) if fields.known.iter().any(|(known, _)| known == name) => {
                    return Err(de::Error::custom(format!("`{name}` is given twice: keep one of the two")));
                }
                Some(name) => fields.known.push((name, map.next_value()?)),
                None => {
                    map.next_value::<de::IgnoredAny>()?;
                    fields.unknown.push(key);
                }
            }
        }
        Ok(fields)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.known.iter_mut().find(|(known, _)| *known == name)?.1.take()
    }

    fn required<E: de::Error>(&mut self, name: &'static str, of: &str) -> Result<String, E> {
        if let Some(text) = self.take(name) {
            return Ok(text);
        }
        if self.known.iter().any(|(known, _)| *known == name) {
            return Err(E::custom(format!("`{name}` is empty")));
        }
        let near = self.unknown.iter().find(|wrong| nearest(wrong, [name]).is_some());
        Err(E::custom(match near {
            Some(near) => format!("{of} needs `{name}`: did you mean `{name}` by `{near}`?"),
            None => format!("{of} needs `{name}`"),
        }))
    }
}

/// Reads a topology file.
pub fn read(path: &Path) -> Result<TopologyDefinition, TopologyError> {
    parse(&read_text(path)?, &path.display().to_string())
}

/// The text of a topology file.
pub fn read_text(path: &Path) -> Result<String, TopologyError> {
    let fail = |cause| TopologyError::Read { path: path.to_path_buf(), cause };
    let bytes = std::fs::metadata(path).map_err(fail)?.len();
    if bytes > TOPOLOGY_FILE_BYTES_MAX {
        return Err(TopologyError::Size { path: path.to_path_buf(), bytes });
    }
    bounded_text::read(path, TOPOLOGY_FILE_BYTES_MAX).map_err(fail)
}

/// Reads the text of a topology file; JSON is YAML too.
pub fn parse(text: &str, path: &str) -> Result<TopologyDefinition, TopologyError> {
    if text.trim().is_empty() {
        let hint = "an export that failed? Where there is nothing to know, write nodes: []";
        return Err(TopologyError::Shape(Report::of_file(path, "", vec![Diagnostic::new(0..0, "the file is empty", hint)])));
    }
    let options = serde_saphyr::options! { with_snippet: false };
    // JSON goes through the JSON parser: it is faster on large graphs and its messages fit the text.
    let file: TopologyFile = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| {
            let at = offset_of(text, error.line(), error.column());
            // The parser stands behind what it complains about.
            shape(path, text, text[..at].trim_end().char_indices().next_back().map_or(0, |(at, _)| at), &error.to_string())
        })?
    } else {
        serde_saphyr::from_str_with_options::<Option<TopologyFile>>(text, options)
            .map_err(|error| {
                let at = error.location().map_or(0, |at| offset_of(text, at.line() as usize, at.column() as usize));
                shape(path, text, at, &error.to_string())
            })?
            .unwrap_or(TopologyFile { nodes: Vec::new(), edges: Vec::new() })
    };
    Ok(TopologyDefinition {
        nodes: file.nodes.into_iter().map(|entry| entry.0).collect(),
        edges: file.edges.into_iter().map(|entry| entry.0).collect(),
    })
}

fn shape(path: &str, text: &str, at: usize, error: &str) -> TopologyError {
    let wrong = yaml_errors::explain(text, at, error);
    let example = || format!("write {EXAMPLE}");
    let hint = match wrong.hint {
        _ if wrong.message.starts_with("the file is") => Some(example()),
        None if !wrong.message.contains("did you mean") => Some(example()),
        hint => hint,
    };
    TopologyError::Shape(Report::of_file(path, text, vec![Diagnostic { hint, ..wrong }]))
}
