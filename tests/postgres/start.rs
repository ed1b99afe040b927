//! Starts on a PostgreSQL database (R81).

use std::{net::TcpListener, thread};

use serde_json::json;

use crate::{address_of, create, harness::Setup, proxy::Proxy, through};

const PASSWORD: &str = "a long and quiet evening";

#[test]
fn two_that_start_at_once_on_an_empty_database_share_it() {
    let first = Setup::shipped();
    let database = first.postgres();
    let second = Setup::shipped().variable("DATABASE_URL", database.address());
    let credentials = json!({ "email": "admin@localhost", "password": PASSWORD });
    let servers: Vec<_> = thread::scope(|scope| {
        let starting = [first, second].map(|setup| {
            let setup = setup.variable("ADMIN_PASSWORD", PASSWORD);
            scope.spawn(|| setup.start())
        });
        starting.map(|one| one.join().unwrap()).into()
    });
    let admins: Vec<_> =
        servers.iter().map(|server| server.sign_in_with(&credentials).ok().unwrap()).collect();
    for (admin, key) in admins.iter().zip(["one", "other"]) {
        assert_eq!(create(admin, key).status, 201);
    }
    assert_eq!(create(&admins[0], "other").status, 409, "it was made by the other");
}

#[test]
fn a_start_without_the_database_says_so_and_exits_1() {
    let setup = Setup::shipped();
    let database = setup.postgres();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = setup.clone().variable("DATABASE_URL", &through(&database, nobody));
    assert_refused(&refused, "Connection refused");
    let proxy = Proxy::to(address_of(&database));
    proxy.freeze();
    let frozen = setup
        .clone()
        .variable("DATABASE_URL", &through(&database, proxy.address()))
        .variable("FLAGSTONE_DATABASE__WAIT_TIMEOUT", "1s");
    assert_refused(&frozen, "in time");
    let wrong = database.address().replacen("flagstone:", "flagstone:quite-another-", 1);
    assert_refused(&setup.clone().variable("DATABASE_URL", &wrong), "password authentication failed");
    let missing = database.address().replace("test_", "no_such_");
    assert_refused(&setup.variable("DATABASE_URL", &missing), "does not exist");
}

#[test]
fn tls_is_used_where_the_address_asks_for_it_and_the_certificate_is_checked() {
    let authority = std::env::var("FLAGSTONE_TEST_POSTGRES_CA").unwrap();
    let setup = Setup::demo();
    let database = setup.postgres();
    let address = database.address().replace("sslmode=disable", "sslmode=require");
    assert_ne!(address, database.address());
    let setup = setup.variable("DATABASE_URL", &address);
    assert_refused(&setup, "certificate");
    let server = setup.variable("FLAGSTONE_DATABASE__TLS_CA_FILE", &authority).start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sql = "SELECT COUNT(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
        WHERE ssl AND datname = current_database() AND application_name = 'flagstone'";
    let rows = runtime.block_on(database.rows(sql, Vec::new())).unwrap();
    assert!(rows[0].get::<i64>(0).unwrap() > 0);
    assert_eq!(create(&server.sign_in(), "secured").status, 201);
}

#[track_caller]
fn assert_refused(setup: &Setup, reason: &str) {
    let output = setup.run(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the database") && said.contains(reason), "{reason}: {said}");
    let all = format!("{said}{}", String::from_utf8_lossy(&output.stdout));
    let password =
        setup.postgres().address().split_once("flagstone:").unwrap().1.split_once('@').unwrap().0.to_owned();
    assert!(!all.contains(&password) && !all.contains("quite-another"), "{all}");
}
