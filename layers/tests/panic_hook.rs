//! The panic hook, which is one for a process: hence a test target of its own.

#![expect(clippy::unwrap_used, reason = "a test may panic, outside of its test functions too")]

use std::{
    fmt,
    sync::{Arc, Mutex},
    thread,
};

use flagstone_layers::kernel::Panic;

#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl tracing::Subscriber for Events {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

#[test]
fn a_panic_is_one_line_with_its_place_unless_somebody_catches_it() {
    let events = Events::default();
    tracing::subscriber::set_global_default(events.clone()).unwrap();
    Panic::log_uncaught();
    let lines = || events.0.lock().unwrap().clone();

    let line = line!() + 1;
    let caught = Panic::catch(|| panic!("caught {}", 1)).unwrap_err();
    assert_eq!(caught.message(), "caught 1");
    let place = caught.location().unwrap();
    assert!(place.contains(&format!("panic_hook.rs:{line}:")), "{place}");
    assert!(lines().is_empty(), "who caught it says so: {:?}", lines());

    let line = line!() + 1;
    let thread = thread::Builder::new().name("worker".to_owned()).spawn(|| panic!("uncaught {}", 2));
    assert!(thread.unwrap().join().is_err());
    let [event] = &lines()[..] else { panic!("{:?}", lines()) };
    for part in ["ERROR", "a thread panicked", "thread=\"worker\"", "panic=\"uncaught 2\"", "panic_hook.rs:"]
    {
        assert!(event.contains(part), "{part}: {event}");
    }
    assert!(event.contains(&format!(":{line}:")), "{event}");

    // What another thread catches is not caught here.
    let inside = Panic::catch(|| thread::spawn(|| panic!("elsewhere")).join().is_err());
    assert_eq!((inside, lines().len()), (Ok(true), 2));
}
