//! Tests of the format: what is written reads back, damage is found, and no bytes do harm.

mod damage;
mod examples;
mod geometry;
mod image;
mod items;
mod layout;
mod layout_2;
mod nodes;
mod round_trip;
mod strategies;
