//! Files: one record a line (NDJSON), appended, rotated by size and age, on disk before they count as delivered.
//!
//! `name` makes the path of a record, of which nothing that a sender says can leave the folder. `shelf` has the files that
//! are open, and bounds how many there are; `page` is one of them: it repairs, appends and rotates. The work on files is
//! done by a thread that may block.

mod name;
mod page;
mod shelf;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use smol::Timer;
use smol::future::or;

use crate::adapt::{BatchLimits, BoxFuture, Record, Sink, SinkError, Verdict};
pub use name::{BadPath, Names};
use shelf::{Parcel, Shelf};

/// When what was written is asked to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Before a batch counts as delivered.
    Batch,
    /// Before a file is closed or rotated: a crash of the machine costs what came since.
    Close,
    /// Whenever the operating system likes.
    Never,
}

/// Settings of one file sink.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder that everything is below. It has to be there.
    pub folder: PathBuf,
    /// The path below it.
    pub names: Names,
    /// Bytes after which a file is rotated; 0 is never.
    pub size_max: u64,
    /// Age after which a file is rotated, looked at when something is written; zero is never.
    pub age_max: Duration,
    /// Rotated files that are kept of each; 0 keeps all.
    pub kept_max: usize,
    /// Permissions of files.
    pub mode: u32,
    /// When it is on disk.
    pub sync: Sync,
    /// Files that are open at a time.
    pub open_max: usize,
    /// Files written to in a day. Records for any more go to [`name::OVERFLOW`].
    pub files_max: usize,
    /// How records are put together.
    pub batch: BatchLimits,
    /// How long writing a batch may take.
    pub timeout: Duration,
}

/// Writes records to files.
pub struct FileSink {
    settings: Arc<Settings>,
    shelf: Arc<Mutex<Shelf>>,
}

impl FileSink {
    /// A sink that has no file open yet.
    pub fn new(settings: Settings) -> Self {
        let settings = Arc::new(settings);
        let shelf = Arc::new(Mutex::new(Shelf::new(settings.clone())));
        Self { settings, shelf }
    }

    /// Puts the lines of a batch together by file; what has no place gets its verdict at once.
    fn parcels(&self, batch: &[Record], verdicts: &mut [Verdict]) -> Vec<Parcel> {
        let mut parcels: Vec<Parcel> = Vec::new();
        let mut by_path: HashMap<PathBuf, usize> = HashMap::new();
        for (index, (record, verdict)) in batch.iter().zip(verdicts).enumerate() {
            let path = match self.settings.names.path(record) {
                Ok(path) => path,
                Err(error) => {
                    *verdict = Verdict::Refused(error.to_string());
                    continue;
                }
            };
            let at = *by_path.entry(path).or_insert_with_key(|path| {
                parcels.push(Parcel::new(path.clone()));
                parcels.len() - 1
            });
            if let Some(parcel) = parcels.get_mut(at) {
                parcel.push(index, &record.body);
            }
        }
        parcels
    }

    /// Runs `work` where it may block, for as long as a delivery may take.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Shelf) -> T + Send + 'static,
    ) -> Result<T, SinkError> {
        let shelf = self.shelf.clone();
        let working = async {
            smol::unblock(move || match shelf.try_lock() {
                Ok(mut shelf) => Ok(work(&mut shelf)),
                Err(TryLockError::Poisoned(poisoned)) => Ok(work(&mut poisoned.into_inner())),
                Err(TryLockError::WouldBlock) => {
                    Err(SinkError::new("the disk has not finished what was written before"))
                }
            })
            .await
        };
        let limit = self.settings.timeout;
        let late = async {
            Timer::after(limit).await;
            let text = format!("the disk took longer than {} s", limit.as_secs_f32());
            Err(SinkError::new(text))
        };
        or(working, late).await
    }
}

impl Sink for FileSink {
    fn describe(&self) -> String {
        format!("file {}/{}", self.settings.folder.display(), self.settings.names)
    }

    fn batch(&self) -> BatchLimits {
        self.settings.batch
    }

    fn deliver<'a>(
        &'a mut self,
        batch: &'a [Record],
    ) -> BoxFuture<'a, Result<Vec<Verdict>, SinkError>> {
        Box::pin(async move {
            let mut verdicts = vec![Verdict::Delivered; batch.len()];
            let parcels = self.parcels(batch, &mut verdicts);
            let failed = self.blocking(move |shelf| shelf.write(parcels)).await?;
            for (indices, reason) in failed {
                for index in indices {
                    if let Some(verdict) = verdicts.get_mut(index) {
                        *verdict = Verdict::Retry(reason.clone());
                    }
                }
            }
            Ok(verdicts)
        })
    }

    fn check<'a>(&'a mut self, sample: &'a Record) -> BoxFuture<'a, Result<String, SinkError>> {
        Box::pin(async move {
            let place = self.place(sample).map_err(SinkError::new)?;
            let found = self.blocking(|shelf| shelf.check()).await?;
            found.map(|found| format!("{found}, would write to {place}"))
        })
    }

    fn place(&self, record: &Record) -> Result<String, String> {
        let path = self.settings.names.path(record).map_err(|error| error.to_string())?;
        Ok(self.settings.folder.join(path).display().to_string())
    }

    fn close<'a>(&'a mut self) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Err(error) = self.blocking(Shelf::close).await {
                log::warn!("adapt: files were not closed in order err={error}");
            }
        })
    }
}

/// Files left open are put on disk as the settings say.
impl Drop for FileSink {
    fn drop(&mut self) {
        if let Some(shelf) = Arc::get_mut(&mut self.shelf) {
            shelf.get_mut().unwrap_or_else(PoisonError::into_inner).close();
        }
    }
}
