//! The pages: as a browser without JavaScript sees them, against a real server and a real engine.

mod client;
mod demo;
mod pages;
