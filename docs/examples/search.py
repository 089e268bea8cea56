"""The layers that are most similar to one layer, by gql (pip install "gql[requests,websockets]"):  python search.py MODEL LAYER

If the server requires an access token, set SCV_TOKEN.
"""

import asyncio
import os
import sys

from gql import Client, gql
from gql.transport.requests import RequestsHTTPTransport
from gql.transport.websockets import WebsocketsTransport

SERVER = os.environ.get("SCV_SERVER", "http://127.0.0.1:8000")
TOKEN = os.environ.get("SCV_TOKEN")
SHOWN = f"Bearer {TOKEN}" if TOKEN else None

LAYERS = gql("""
    query Layers($model: String!) {
      model(name: $model) { version(alias: "latest") { id layers(first: 100) { nodes { id name } } } }
    }
""")
SIMILAR = gql("""
    query Similar($layer: ID!) {
      layer(id: $layer) {
        similar(first: 5) {
          exact
          edges {
            rank
            debiasedCka
            significance { correctedPValue }
            node { name version { number model { name } } }
          }
        }
      }
    }
""")
EVALUATE = gql("""
    mutation Evaluate($version: ID!) { evaluateVersion(input: { versionId: $version }) { job { id } } }
""")
WATCH = gql("subscription Watch($job: ID!) { job(id: $job) { status progress } }")


def main(model, name):
    transport = RequestsHTTPTransport(f"{SERVER}/graphql", headers={"Authorization": SHOWN} if SHOWN else None)
    # The schema is fetched, so that a mistake in a document is told before it is sent.
    with Client(transport=transport, fetch_schema_from_transport=True) as session:
        version = session.execute(with_variables(LAYERS, model=model))["model"]["version"]
        layer = next(layer for layer in version["layers"]["nodes"] if layer["name"] == name)
        found = session.execute(with_variables(SIMILAR, layer=layer["id"]))["layer"]["similar"]
        for hit in found["edges"]:
            version_of = hit["node"]["version"]
            print(hit["rank"], round(hit["debiasedCka"], 3), version_of["model"]["name"], hit["node"]["name"],
                  f'p = {hit["significance"]["correctedPValue"]:.3g}')
        job = session.execute(with_variables(EVALUATE, version=version["id"]))["evaluateVersion"]["job"]["id"]
    asyncio.run(watch(job))


async def watch(job):
    address = f"{SERVER.replace('http', 'ws', 1)}/graphql/ws"
    protocol = WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL
    greeting = {"authorization": SHOWN} if SHOWN else {}
    transport = WebsocketsTransport(address, init_payload=greeting, subprotocols=[protocol])
    async with Client(transport=transport) as session:
        async for news in session.subscribe(with_variables(WATCH, job=job)):
            print(news["job"]["status"])


def with_variables(request, **variables):
    request.variable_values = variables
    return request


if __name__ == "__main__":
    main(*sys.argv[1:])
