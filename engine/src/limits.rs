//! How large a definition may be. The figures are ours: far above what a person writes by hand, far below
//! what would hurt a server that holds thousands of them in memory.

/// Bytes of a flag, variant or segment key (R43).
pub const KEY_BYTES: usize = 100;
/// Bytes of a `name`.
pub const NAME_BYTES: usize = 200;
/// Bytes of a `description`.
pub const DESCRIPTION_BYTES: usize = 4_000;
/// Tags of a flag.
pub const TAGS: usize = 50;
/// Bytes of one tag.
pub const TAG_BYTES: usize = 100;
/// Entries of a flag's metadata.
pub const METADATA: usize = 50;
/// Bytes of one metadata name or string.
pub const METADATA_BYTES: usize = 1_000;
/// Variants of a flag.
pub const VARIANTS: usize = 250;
/// Bytes of one variant's value, written as JSON.
pub const VARIANT_VALUE_BYTES: usize = 65_536;
/// How deep the value of an `object` variant may nest.
pub const VARIANT_VALUE_DEPTH: usize = 32;
/// Prerequisites of a configuration.
pub const PREREQUISITES: usize = 50;
/// Targets of a configuration.
pub const TARGETS: usize = 250;
/// Values of all targets of a configuration together.
pub const TARGET_VALUES: usize = 10_000;
/// Rules of a configuration.
pub const RULES: usize = 250;
/// Weights of a split.
pub const WEIGHTS: usize = 250;
/// Attributes a `by` may list.
pub const BY: usize = 10;
/// Nodes of one condition tree, leaves included.
pub const CONDITIONS: usize = 1_000;
/// How deep a condition tree may nest (DESIGN §5).
pub const CONDITION_DEPTH: usize = 64;
/// How deep one evaluation may nest: the conditions, and one for each segment and flag they lead to.
pub const NESTING: usize = 256;
/// Values of one leaf.
pub const VALUES: usize = 5_000;
/// Bytes of one value of a leaf, written as JSON; also of an attribute's name, a salt or a member of a segment.
pub const VALUE_BYTES: usize = 1_000;
/// Bytes a compiled regular expression may take.
pub const PATTERN_COMPILED_BYTES: usize = 256 * 1024;
/// Members of `include` and of `exclude` of a segment, each.
pub const MEMBERS: usize = 100_000;
/// The whole of a rollout, and the largest total of a split's weights.
pub const WHOLE: u32 = 100_000;
/// Faults reported of one document; what is beyond shows when these are mended.
pub const FAULTS: usize = 200;
