//! Starts with many flags: how long until ready, how much memory; and with the most of them, how long a change takes until
//! it is evaluated and streamed.

use std::time::Instant;

use rusqlite::{Connection, Transaction, params};
use serde_json::json;

use crate::{
    change, flags,
    harness::{Person, Server, Setup},
    machine::{self, median, millis, resident},
    project::{self, Client, ENVIRONMENT, PROJECT},
};

/// Projects, with a thousand flags each, whose rules are those of one of four or each another's, and what of it is wanted.
const SIZES: [(usize, Rules, &str); 3] = [
    (1, Rules::OfFour, "≤ 300 ms, ≤ 30 MiB"),
    (100, Rules::OfFour, "≤ 2 s, ≤ 200 MiB"),
    (100, Rules::OfEach, "the same, for comparison"),
];
const FLAGS: usize = 1000;
/// Flags made through the API; the others are copies of them.
const MADE: usize = 4;
const STARTS: usize = 5;
const EMAIL: &str = "admin@example.com";
const PASSWORD: &str = "four measured words here";

/// Which rules flags have.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rules {
    OfFour,
    OfEach,
}

#[test]
fn measure() {
    println!("{}", machine::describe());
    for (projects, rules, target) in SIZES {
        let setup = prepared();
        let key = seed(&setup, projects, rules);
        let mut times = Vec::new();
        let mut memory = Vec::new();
        for _ in 0..STARTS {
            let begun = Instant::now();
            let server = setup.clone().start();
            times.push(begun.elapsed());
            memory.push(resident(server.pid()));
            for index in 0..FLAGS {
                assert_eq!(Client::new(&server, &key).evaluate(index)["value"], flags::answer(index));
            }
        }
        println!(
            "{} flags in {projects} projects, rules {rules:?}: ready after {:.0} ms, {:.0} MiB resident, medians of {STARTS} (target {target})",
            projects * FLAGS,
            millis(median(&mut times)),
            median(&mut memory) as f64 / 1024.0
        );
        let server = setup.clone().start();
        change::measure(
            &sign_in(&server),
            [&server, &server],
            &key,
            &format!("{} flags", projects * FLAGS),
            20,
        );
    }
}

/// A server on a database of its own, which is empty yet.
fn prepared() -> Setup {
    let setup = machine::measured(Setup::shipped())
        .variable("RATE_LIMIT_MAX", "1000000")
        .variable("STRICT_RATE_LIMIT_MAX", "1000000")
        .variable("ADMIN_EMAIL", EMAIL)
        .variable("ADMIN_PASSWORD", PASSWORD);
    let database = setup.folder().join("bench.db");
    setup.database(&database)
}

fn sign_in(server: &Server) -> Person<'_> {
    server.sign_in_with(&json!({ "email": EMAIL, "password": PASSWORD })).unwrap()
}

/// Fills the database with so many projects. Returns a client key of the first.
fn seed(setup: &Setup, projects: usize, rules: Rules) -> String {
    let mut server = setup.clone().start();
    let key = project::make(&sign_in(&server), MADE);
    server.signal("TERM");
    assert!(server.wait().success());

    let mut database = Connection::open(setup.folder().join("bench.db")).unwrap();
    let transaction = database.transaction().unwrap();
    for project in 0..projects {
        copy_project(&transaction, project, rules);
    }
    transaction.commit().unwrap();
    let count: isize = database.query_row("SELECT COUNT(*) FROM flags", [], |row| row.get(0)).unwrap();
    assert_eq!(count.unsigned_abs(), projects * FLAGS);
    key
}

/// Copies the project that was made, with its environments; the one of number 0 is itself and only gets its further flags.
fn copy_project(database: &Transaction<'_>, number: usize, rules: Rules) {
    let project = |id: &str| if number == 0 { id.to_owned() } else { copy(1, number, 0) };
    let select = "SELECT id FROM projects WHERE key = ?1";
    let original: String = database.query_row(select, [PROJECT], |row| row.get(0)).unwrap();
    let project = project(&original);
    if number > 0 {
        let insert = "INSERT INTO projects SELECT ?2, key || ?3, name, description, version, created_at, updated_at \
             FROM projects WHERE id = ?1";
        database.execute(insert, params![original, project, format!("-{number}")]).unwrap();
    }
    let select = "SELECT id, key FROM environments WHERE project_id = ?1 ORDER BY position";
    let mut select = database.prepare(select).unwrap();
    let environments: Vec<(String, String)> = select
        .query_map([&original], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut configured = String::new();
    for (position, (id, key)) in environments.iter().enumerate() {
        let own = if number == 0 { id.clone() } else { copy(2, number, position) };
        if number > 0 {
            let insert = "INSERT INTO environments SELECT ?2, ?3, key, name, position, revision, version, created_at, \
                 updated_at FROM environments WHERE id = ?1";
            database.execute(insert, params![id, own, project]).unwrap();
        }
        if key == ENVIRONMENT {
            configured = own;
        }
    }
    let first = if number == 0 { MADE } else { 0 };
    for index in first..FLAGS {
        copy_flag(database, &original, (&project, &configured), number, index, rules);
    }
}

/// Copies one of the flags that were made to another key, with its configuration.
fn copy_flag(
    database: &Transaction<'_>,
    original: &str,
    (project, environment): (&str, &str),
    number: usize,
    index: usize,
    rules: Rules,
) {
    let insert = "INSERT INTO flags SELECT ?1, ?2, ?3, replace(definition, '\"' || key || '\"', '\"' || ?3 || '\"'), \
         search, archived, version, created_at, updated_at FROM flags WHERE project_id = ?4 AND key = ?5";
    let id = copy(3, number, index);
    let (key, template) = (flags::key(index), flags::key(index % MADE));
    assert_eq!(database.execute(insert, params![id, project, key, original, template]).unwrap(), 1);
    let insert = "INSERT INTO flag_configs SELECT ?1, ?2, replace(c.config, '\"team\"', ?5), c.version, c.updated_at \
         FROM flag_configs c JOIN flags f ON f.id = c.flag_id WHERE f.project_id = ?3 AND f.key = ?4";
    let plan = match rules {
        Rules::OfFour => "\"team\"".to_owned(),
        Rules::OfEach => format!("\"team-{number}-{index}\""),
    };
    assert_eq!(database.execute(insert, params![id, environment, original, template, plan]).unwrap(), 1);
}

/// An id that no other has.
fn copy(kind: usize, number: usize, index: usize) -> String {
    format!("{kind:08x}-0000-7000-8000-{number:06x}{index:06x}")
}
