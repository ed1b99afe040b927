//! Change streams through proxies.

use crate::{
    harness::{EventStream, Setup},
    proxy::PROXIES,
};

#[test]
fn a_change_comes_through_every_proxy_at_once() {
    let server = Setup::demo().variable("TRUSTED_PROXIES", "127.0.0.1").start();
    let bearer = format!("Bearer {}", server.client_key());
    let proxies = PROXIES.map(|kind| kind.before(server.address()));
    let streams = proxies
        .each_ref()
        .map(|proxy| EventStream::open(proxy.address, "/api/v1/stream", &[("authorization", &bearer)]));
    let admin = server.sign_in();
    // One by one: what a proxy keeps back until more comes would be missed.
    for (number, flag) in ["beta-search", "banner-text", "theme"].into_iter().enumerate() {
        admin.switch(flag, false);
        for (kind, stream) in PROXIES.iter().zip(&streams) {
            assert_eq!(stream.data()["flagKey"], flag, "{kind:?}, change {number}");
        }
    }
}
