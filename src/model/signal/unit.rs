//! Units of values, and the factor that brings a value to the base unit of its role: seconds, bytes, cores, work per second, and shares
//! from 0 to 1.

use crate::model::signal::role::Role;

/// A unit that a mapping may name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    /// As it is written in a mapping.
    pub name: &'static str,
    /// What a value is multiplied by.
    pub factor: f64,
    dimension: Dimension,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dimension {
    Time,
    Share,
    Bytes,
    Cores,
    Rate,
    Count,
}

const fn unit(name: &'static str, factor: f64, dimension: Dimension) -> Unit {
    Unit { name, factor, dimension }
}

const UNITS: [Unit; 19] = [
    unit("s", 1.0, Dimension::Time),
    unit("ms", 1e-3, Dimension::Time),
    unit("us", 1e-6, Dimension::Time),
    unit("ns", 1e-9, Dimension::Time),
    unit("min", 60.0, Dimension::Time),
    unit("ratio", 1.0, Dimension::Share),
    unit("percent", 1e-2, Dimension::Share),
    unit("bytes", 1.0, Dimension::Bytes),
    unit("kB", 1e3, Dimension::Bytes),
    unit("MB", 1e6, Dimension::Bytes),
    unit("KiB", 1024.0, Dimension::Bytes),
    unit("MiB", 1_048_576.0, Dimension::Bytes),
    unit("GiB", 1_073_741_824.0, Dimension::Bytes),
    unit("cores", 1.0, Dimension::Cores),
    unit("millicores", 1e-3, Dimension::Cores),
    unit("nanocores", 1e-9, Dimension::Cores),
    unit("per_second", 1.0, Dimension::Rate),
    unit("per_minute", 1.0 / 60.0, Dimension::Rate),
    unit("count", 1.0, Dimension::Count),
];

impl Unit {
    /// The unit of this name.
    pub fn named(name: &str) -> Option<Unit> {
        UNITS.into_iter().find(|unit| unit.name == name)
    }

    /// The units in which a role can be measured.
    pub fn of_role(role: Role) -> impl Iterator<Item = Unit> {
        UNITS.into_iter().filter(move |unit| match role {
            Role::Duration => unit.dimension == Dimension::Time,
            Role::Availability => unit.dimension == Dimension::Share,
            Role::Traffic => matches!(unit.dimension, Dimension::Rate | Dimension::Count | Dimension::Bytes),
            Role::Errors => matches!(unit.dimension, Dimension::Rate | Dimension::Count | Dimension::Share),
            // Utilisation and saturation are of any resource; a counter of seconds is one of cores in use.
            Role::Utilisation | Role::Saturation => true,
        })
    }

    /// Whether a role can be measured in it.
    pub fn fits(self, role: Role) -> bool {
        Unit::of_role(role).any(|unit| unit == self)
    }
}
