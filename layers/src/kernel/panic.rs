use std::{
    any::Any,
    cell::{Cell, RefCell},
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    thread,
};

/// A panic that was caught: what it said, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    message: String,
    location: Option<String>,
}

/// While it lives, somebody on this thread catches panics and says so.
struct Catching;

thread_local! {
    static CATCHING: Cell<usize> = const { Cell::new(0) };
    /// Where the last panic of this thread was that somebody catches.
    static LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

// === impl Panic ===

impl Panic {
    /// Replaces the process's panic hook: a panic is one log line with its thread and place, on the log and nowhere else.
    /// One that [`catch`](Self::catch) meets is left to who called that, who knows what it means.
    pub fn log_uncaught() {
        std::panic::set_hook(Box::new(|panic| {
            let location = panic.location().map(ToString::to_string);
            if CATCHING.try_with(Cell::get).is_ok_and(|catching| catching > 0) {
                // The thread's values are gone only where it ends; then nobody catches.
                _ = LOCATION.try_with(|last| *last.borrow_mut() = location);
                return;
            }
            let thread = thread::current();
            let panic = message(panic.payload());
            tracing::error!(thread = thread.name(), location, panic, "a thread panicked");
        }));
    }

    /// Does the work; a panic in it ends it and nothing else. Allocates nothing where there is none.
    ///
    /// # Errors
    /// The panic.
    pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Self> {
        let catching = Catching::begin();
        let caught = catch_unwind(AssertUnwindSafe(work));
        drop(catching);
        caught.map_err(|payload| Self {
            message: message(&*payload).to_owned(),
            location: LOCATION.with(RefCell::take),
        })
    }

    /// As [`catch`](Self::catch), for work that waits.
    ///
    /// # Errors
    /// The panic.
    pub async fn catch_async<T>(work: impl Future<Output = T>) -> Result<T, Self> {
        let mut work = pin!(work);
        poll_fn(|context| match Self::catch(|| work.as_mut().poll(context)) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        })
        .await
    }

    /// Drops what panicked: it may panic again, once was enough, and while it unwinds a second one would end the process.
    pub(crate) fn drop_quietly<T>(value: T) {
        let location = LOCATION.with(RefCell::take);
        // What it says is left out on purpose.
        let _ = Self::catch(|| drop(value));
        LOCATION.set(location);
    }

    /// What it said.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The file, line and column; known where [`log_uncaught`](Self::log_uncaught) was called.
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<&'static str>(), payload.downcast_ref::<String>()) {
        (Some(message), _) => message,
        (_, Some(message)) => message,
        _ => "a value that is no text",
    }
}

// === impl Catching ===

impl Catching {
    fn begin() -> Self {
        CATCHING.with(|catching| catching.set(catching.get() + 1));
        Self
    }
}

impl Drop for Catching {
    fn drop(&mut self) {
        CATCHING.with(|catching| catching.set(catching.get() - 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_panic_says_what_and_a_nested_one_ends_only_what_is_inside() {
        let outer = Panic::catch(|| {
            assert_eq!(Panic::catch(|| panic!("in {}", "side")).unwrap_err().message(), "in side");
            7
        });
        assert_eq!(outer, Ok(7));
        assert_eq!(Panic::catch(|| panic!("plain")).unwrap_err().to_string(), "plain");
        let odd = Panic::catch(|| std::panic::panic_any(7)).unwrap_err();
        assert_eq!(odd.message(), "a value that is no text");
        assert_eq!(CATCHING.get(), 0);
    }

    #[tokio::test]
    async fn work_that_waits_is_caught_whenever_it_panics() {
        let work = async |panics: bool| {
            tokio::task::yield_now().await;
            assert!(!panics, "after a while");
            7
        };
        assert_eq!(Panic::catch_async(work(false)).await, Ok(7));
        assert_eq!(Panic::catch_async(work(true)).await.unwrap_err().message(), "after a while");
    }
}
