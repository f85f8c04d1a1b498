//! What was measured, as a table for each workload and then one for each lock: million pairs a
//! second of all threads together, a column for each number of threads. Takes no lock.

use daxfs_benches::interleaved::Timings;

/// Below this the number stands for threads that mostly took turns.
const ENOUGH_TOGETHER: f64 = 0.25;

/// Everything measured so far.
pub(crate) struct Tables<'counts> {
    thread_counts: &'counts [usize],
    cells: Vec<Cell>,
}

struct Cell {
    workload: String,
    lock: &'static str,
    threads: usize,
    text: String,
}

impl<'counts> Tables<'counts> {
    /// With these columns.
    pub(crate) fn new(thread_counts: &'counts [usize]) -> Self {
        Self {
            thread_counts,
            cells: Vec::new(),
        }
    }

    pub(crate) fn add(
        &mut self,
        workload: String,
        lock: &'static str,
        threads: usize,
        timings: &Timings,
    ) {
        let millions = threads as f64 * 1e3 / timings.lower_quartile_ns();
        let is_doubtful = timings.together_part() < ENOUGH_TOGETHER;
        let mark = if is_doubtful { "?" } else { "" };
        self.cells.push(Cell {
            workload,
            lock,
            threads,
            text: format!("{millions:.2}{mark}"),
        });
    }

    /// A row for each lock.
    pub(crate) fn print_workload(&self, workload: String) {
        let of_workload = |cell: &&Cell| cell.workload == workload;
        self.print(&workload, of_workload, |cell| cell.lock);
    }

    /// A table for each lock, with a row for each workload.
    pub(crate) fn print_locks(&self) {
        let mut locks: Vec<_> = self.cells.iter().map(|cell| cell.lock).collect();
        let mut seen = Vec::new();
        locks.retain(|lock| {
            let is_new = !seen.contains(lock);
            seen.push(lock);
            is_new
        });
        for lock in locks {
            self.print(lock, |cell| cell.lock == lock, |cell| &cell.workload);
        }
        println!(
            "\n?: the threads hardly ever began a round together; there are too few processors"
        );
    }

    fn print(
        &self,
        title: &str,
        is_wanted: impl Fn(&&Cell) -> bool,
        row_of: impl Fn(&Cell) -> &str,
    ) {
        print!("\n{:38}", format!("{title}, M pairs/s, threads:"));
        for threads in self.thread_counts {
            print!("{threads:>10}");
        }
        let cells: Vec<_> = self.cells.iter().filter(is_wanted).collect();
        let firsts = cells
            .iter()
            .filter(|cell| cell.threads == self.thread_counts[0]);
        for first in firsts {
            let row = row_of(first);
            print!("\n  {row:36}");
            for &threads in self.thread_counts {
                let cell = cells
                    .iter()
                    .find(|cell| row_of(cell) == row && cell.threads == threads);
                print!("{:>10}", cell.map_or("", |cell| &cell.text));
            }
        }
        println!();
    }
}
