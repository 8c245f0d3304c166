//! The server: a process that runs the service.

use std::{
    io::{self, BufRead, BufReader, Read},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use crate::client;

/// A program, and the settings that it is started with.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) settings: &'static [(&'static str, &'static str)],
    /// Whether snapshots are taken while it warms up, as a service has that is looked at.
    pub(crate) is_looked_at: bool,
}

/// A running service; dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) is_looked_at: bool,
}

impl Server {
    /// Starts the program on a processor, and waits until it listens.
    pub(crate) fn start(program: &Program, cpu: usize) -> io::Result<Self> {
        let mut command = Command::new(&program.path);
        command.envs(program.settings.iter().copied()).arg(cpu.to_string());
        Self::spawn(command.stderr(Stdio::inherit()), program)
    }

    /// Starts it under valgrind, which counts its instructions and says how many on stderr.
    pub(crate) fn start_counting(program: &Program) -> io::Result<Self> {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(&program.path);
        valgrind.envs(program.settings.iter().copied());
        Self::spawn(valgrind.stderr(Stdio::piped()), program)
    }

    fn spawn(command: &mut Command, program: &Program) -> io::Result<Self> {
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.as_mut() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let mut server = Self { process, address, is_looked_at: program.is_looked_at };
        let port = line.trim().parse::<u16>();
        server.address.set_port(port.map_err(|_| io::Error::other("it names no port"))?);
        Ok(server)
    }

    /// Ends it, and returns how many instructions it took in all.
    pub(crate) fn instructions(mut self) -> io::Result<u64> {
        client::quit(self.address)?;
        let mut text = String::new();
        if let Some(stderr) = self.process.stderr.as_mut() {
            stderr.read_to_string(&mut text)?;
        }
        self.process.wait()?;
        let count = text.lines().find_map(|line| line.split_once("Collected : ")?.1.parse().ok());
        count.ok_or_else(|| io::Error::other(format!("valgrind counts nothing: {text}")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
