use std::cell::RefCell;

use bytes::BytesMut;
use http::HeaderValue;

use crate::kernel::RequestId;

/// How much is allocated at once for header values.
const BLOCK: usize = 4096;

thread_local! {
    static BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// The id as a header's value, cut from a buffer of this thread's. When the values of a buffer are all written it is
/// used again, so that usually nothing is allocated.
pub(super) fn header_value(id: &RequestId) -> Option<HeaderValue> {
    let text = id.as_bytes();
    let bytes = BUFFER
        .try_with(|buffer| {
            let mut buffer = buffer.borrow_mut();
            if buffer.capacity() < text.len() {
                buffer.reserve(BLOCK);
            }
            buffer.extend_from_slice(text);
            buffer.split().freeze()
        })
        .ok()?;
    let mut value = HeaderValue::from_maybe_shared(bytes).ok()?;
    // HTTP/2 then keeps it out of its table of headers to come, where it would be of no use and hold the buffer.
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_held_stay_as_they_are_while_others_are_made() {
        let ids: Vec<String> = (0..1_000).map(|number| format!("{number:064}")).collect();
        let values: Vec<_> =
            ids.iter().map(|id| header_value(&RequestId::parse(id.as_bytes()).unwrap()).unwrap()).collect();
        for (id, value) in ids.iter().zip(values) {
            assert_eq!(value, id.as_str());
            assert!(value.is_sensitive());
        }
    }
}
