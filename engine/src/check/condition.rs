use crate::fault::Faults;
use crate::limits;
use crate::matcher::Matcher;
use crate::model::{Bucket, Condition};

/// What is wrong with a condition in itself.
pub(super) fn check(condition: &Condition, depth: usize, faults: &mut Faults) {
    if depth > limits::CONDITION_DEPTH {
        return faults
            .push("too_deep", format!("conditions must nest at most {} deep", limits::CONDITION_DEPTH));
    }
    match condition {
        Condition::All { all } => faults.within("all", |faults| check_parts(all, depth, faults)),
        Condition::Any { any } => faults.within("any", |faults| check_parts(any, depth, faults)),
        Condition::Not { not } => faults.within("not", |faults| check(not, depth + 1, faults)),
        Condition::Bucket { bucket } => faults.within("bucket", |faults| check_bucket(bucket, faults)),
        Condition::Leaf(leaf) => {
            Matcher::compile(leaf, faults);
        }
        Condition::Segment { .. } | Condition::Flag { .. } => {}
    }
}

fn check_parts(parts: &[Condition], depth: usize, faults: &mut Faults) {
    for (index, part) in parts.iter().enumerate() {
        faults.within(index, |faults| check(part, depth + 1, faults));
    }
}

fn check_bucket(bucket: &Bucket, faults: &mut Faults) {
    if bucket.below > limits::WHOLE {
        faults.within("below", |faults| {
            faults.push("out_of_range", format!("must be from 0 to {}", limits::WHOLE));
        });
    }
    if bucket.from > bucket.below {
        faults.within("from", |faults| faults.push("out_of_range", "must not be above `below`"));
    }
}
