//! The processes that hold the players.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    ROLE,
    clients::{Answer, Counted, Order, Setup, Whom},
    murph_server::Murph,
};

/// Sockets of one process; the usual limit of open files is 20 000 and less.
const SOCKETS_MAX: usize = 9_000;

/// All players. Their processes end when this is dropped.
pub(crate) struct Crew(Vec<Process>);

struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Crew {
    /// Starts a session for each player, attaches it and lets it play.
    pub(crate) fn aboard_murph(murph: &Murph, sockets: usize) -> Self {
        let tokens = murph.tokens.chunks(share(sockets));
        Self::aboard(tokens.map(|tokens| Setup {
            address: murph.address,
            whom: Whom::Murph {
                tokens: tokens.to_vec(),
                course_id: murph.course_id.clone(),
                video_id: murph.video_id.clone(),
            },
        }))
    }

    pub(crate) fn aboard_bare(address: SocketAddr, sockets: usize) -> Self {
        let all = vec![(); sockets];
        let shares = all.chunks(share(sockets));
        Self::aboard(shares.map(|some| Setup { address, whom: Whom::Bare { sockets: some.len() } }))
    }

    fn aboard(setups: impl Iterator<Item = Setup>) -> Self {
        let mut crew = Self(setups.map(|setup| Process::start(&setup)).collect());
        crew.done();
        crew
    }

    pub(crate) fn set_proving(&mut self, is_proving: bool) {
        self.order(&Order::Prove(is_proving));
        self.done();
    }

    pub(crate) fn begin_counting(&mut self) {
        self.order(&Order::Count);
        self.done();
    }

    pub(crate) fn counted(&mut self) -> Counted {
        self.order(&Order::Report);
        let mut all = Counted::default();
        for process in &mut self.0 {
            let Answer::Counted(counted) = process.answer() else { panic!("counts were ordered") };
            all.ticks += counted.ticks;
            all.lateness.merge(&counted.lateness);
            all.lost += counted.lost;
            all.frame = counted.frame;
        }
        all
    }

    /// Ends all sessions; how long the last of them took.
    pub(crate) fn end(mut self) -> Duration {
        let began = Instant::now();
        self.order(&Order::End);
        self.done();
        began.elapsed()
    }

    fn order(&mut self, order: &Order) {
        for process in &mut self.0 {
            process.tell(&serde_json::to_string(order).expect("plain data"));
        }
    }

    fn done(&mut self) {
        for process in &mut self.0 {
            assert!(matches!(process.answer(), Answer::Done), "nothing was to be counted");
        }
    }
}

/// At least two processes, so that the players of a large fleet are no bottleneck themselves.
fn share(sockets: usize) -> usize {
    sockets.div_ceil(2).clamp(1, SOCKETS_MAX)
}

impl Process {
    fn start(setup: &Setup) -> Self {
        let exe = std::env::current_exe().expect("this program is a file");
        let mut child = Command::new(exe)
            .env(ROLE, "clients")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process starts");
        let input = child.stdin.take().expect("it is a pipe");
        let output = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let mut process = Self { child, input, output };
        process.tell(&serde_json::to_string(setup).expect("plain data"));
        process
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the players listen");
    }

    fn answer(&mut self) -> Answer {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the players answer");
        serde_json::from_str(&line).expect("the players answer, and did not fail")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
