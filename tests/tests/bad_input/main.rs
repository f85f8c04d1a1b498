//! Bad input: damaged images, full devices, impossible requests. Each ends in a typed error that
//! says what and where; never in a panic, never in a changed image.
//!
//! | Module | What it is for |
//! |---|---|
//! | `image` | an image that has every structure, and a reader of its own that finds them |
//! | `foreign` | what is no image, or one of another size, version or feature |
//! | `damage` | flipped bits, and forged blocks whose checksums are right |
//! | `full_device` | running out of space, and getting it back |
//! | `requests` | ranges that overflow, paths of the wrong kind |
//! | `mounts` | devices that are busy or formatted already, read-only mounts, unmounting in use |

mod damage;
mod foreign;
mod full_device;
mod image;
mod mounts;
mod requests;
