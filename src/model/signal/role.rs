//! What a series measures of a service or a host, as the RED and USE methods name it.

use std::fmt;

/// The role of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Work asked for, per second.
    Traffic,
    /// Failed work, per second or as a share of all work.
    Errors,
    /// The time that a piece of work takes, in seconds.
    Duration,
    /// Work that waits: queue length, connections in use.
    Saturation,
    /// The part of a resource in use.
    Utilisation,
    /// The share of time or of work that is good.
    Availability,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 6] =
        [Role::Traffic, Role::Errors, Role::Duration, Role::Saturation, Role::Utilisation, Role::Availability];

    /// The name in mappings and in the table `signals`.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Traffic => "traffic",
            Role::Errors => "errors",
            Role::Duration => "duration",
            Role::Saturation => "saturation",
            Role::Utilisation => "utilisation",
            Role::Availability => "availability",
        }
    }

    /// The role of this name.
    pub fn named(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
