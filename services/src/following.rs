//! Keeps memory where other instances bring the database.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::changes::Changes;
use crate::store::{Db, Listener, StoreError};

/// Follows what others change, without end: as soon as the database tells of it, and by asking once a `period`, for
/// whatever was told while nobody listened.
pub(crate) async fn follow(changes: Changes, db: Db, period: Duration) {
    let mut polls = interval(period);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut listener = None;
    let mut is_deaf = false;
    loop {
        tokio::select! {
            heard = hear(&mut listener) => if heard.is_err() {
                listener = None;
            },
            _ = polls.tick() => {}
        }
        // It listens first and reads then, so that nothing falls in between.
        if listener.is_none() {
            match db.listen().await {
                Ok(opened) => listener = Some(opened),
                Err(error) if !is_deaf => {
                    tracing::warn!(%error, "cannot hear of what other instances change: asking once in a while");
                }
                Err(_) => {}
            }
            if is_deaf && listener.is_some() {
                tracing::info!("hears of what other instances change again");
            }
            is_deaf = listener.is_none();
        }
        round(changes.clone()).await;
    }
}

/// One look at the database, in a task of its own, so that one that panics is not the last.
async fn round(changes: Changes) {
    // Dropped, it ends what it runs.
    let mut task = JoinSet::new();
    task.spawn(async move { changes.follow().await });
    match task.join_next().await {
        Some(Ok(Err(error))) => tracing::debug!(%error, "following other instances failed"),
        Some(Err(error)) => tracing::error!(%error, "following other instances failed"),
        Some(Ok(Ok(()))) | None => {}
    }
}

async fn hear(listener: &mut Option<Listener>) -> Result<(), StoreError> {
    match listener {
        Some(listener) => listener.changed().await,
        None => std::future::pending().await,
    }
}
