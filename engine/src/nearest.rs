//! What somebody may have meant.

/// `; did you mean …?` where one of the names is near, else nothing.
pub(crate) fn did_you_mean<'n>(given: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    // A long name is no slip of the finger, and the distance costs the product of the lengths.
    if given.len() > 64 {
        return String::new();
    }
    let near = names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min_by_key(|(distance, _)| *distance);
    near.map(|(_, name)| format!("; did you mean `{name}`?")).unwrap_or_default()
}
