//! Against a name server of the test's own, on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, MX};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

use super::{Delivery, EmailDomains};
use crate::accounts::fixture::{Fixture, PASSWORD, options};
use crate::accounts::{AccountOptions, Accounts, NewUser};
use crate::actor::{Actor, Role};
use crate::error::ServiceError;

/// Answers as its tables say, until it is dropped.
struct NameServer {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NameServer {
    async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let question = Message::from_vec(&buffer[..length]).unwrap();
                if let Some(answer) = answer(&question) {
                    socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
                }
            }
        });
        Self { address, task }
    }

    fn domains(&self) -> EmailDomains {
        let mut udp = ConnectionConfig::udp();
        udp.port = self.address.port();
        let mut server = NameServerConfig::udp(self.address.ip());
        server.connections = vec![udp];
        EmailDomains::with(ResolverConfig::from_name_servers(vec![server])).unwrap()
    }
}

fn answer(question: &Message) -> Option<Message> {
    let query = question.queries.first()?;
    let name = query.name().clone();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.add_query(query.clone());
    let record = |data| Record::from_rdata(name.clone(), 60, data);
    match (name.to_ascii().as_str(), query.query_type()) {
        ("mail.test.", RecordType::MX) => {
            answer.add_answer(record(RData::MX(MX::new(10, Name::from_ascii("mx.mail.test.").unwrap()))));
        }
        ("none.test.", RecordType::MX) => {
            answer.add_answer(record(RData::MX(MX::new(0, Name::root()))));
        }
        ("host.test.", RecordType::A) => {
            answer.add_answer(record(RData::A(A::new(192, 0, 2, 1))));
        }
        ("host.test." | "bare.test.", _) => {}
        ("broken.test.", _) => answer.metadata.response_code = ResponseCode::ServFail,
        ("silent.test.", _) => return None,
        _ => answer.metadata.response_code = ResponseCode::NXDomain,
    }
    Some(answer)
}

#[tokio::test]
async fn only_what_dns_denies_is_impossible() {
    let server = NameServer::start().await;
    let domains = server.domains();
    for (address, expected) in [
        ("a@mail.test", Delivery::Possible),
        ("a@host.test", Delivery::Possible),
        ("a@localhost", Delivery::Possible),
        ("a@none.test", Delivery::Impossible),
        ("a@bare.test", Delivery::Impossible),
        ("a@mistyped.test", Delivery::Impossible),
        ("a@broken.test", Delivery::Unknown),
        ("a@silent.test", Delivery::Unknown),
    ] {
        assert_eq!(domains.delivery(address).await, expected, "{address}");
    }
}

#[tokio::test]
async fn a_user_of_a_domain_without_mail_is_refused_by_pointer() {
    let server = NameServer::start().await;
    let mut fixture = Fixture::new().await;
    let email_domains = Some(Arc::new(server.domains()));
    let options = AccountOptions { email_domains, ..options() };
    fixture.accounts = Accounts::new(fixture.db.clone(), fixture.clock.clone(), options).unwrap();
    let new = |email: &str| NewUser {
        email: email.to_owned(),
        name: None,
        role: Role::Member,
        password: PASSWORD.into(),
    };
    let refused = fixture.accounts.create_user(&Actor::cli(), new("ada@mistyped.test")).await;
    let Err(ServiceError::Invalid(faults)) = refused else { panic!("{refused:?}") };
    assert_eq!((faults[0].pointer.as_str(), faults[0].code), ("/email", "undeliverable_email"));
    fixture.accounts.create_user(&Actor::cli(), new("ada@mail.test")).await.unwrap();
    fixture.accounts.create_user(&Actor::cli(), new("bob@broken.test")).await.unwrap();
}
