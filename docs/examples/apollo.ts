// The layers that are most similar to one layer, and a page of models put together by Apollo Client's cache.
//
//     npm install @apollo/client graphql rxjs
//     tsc --module nodenext apollo.ts && node apollo.js MODEL LAYER
//
// If the server requires an access token, set SCV_TOKEN.
import { ApolloClient, HttpLink, InMemoryCache, gql, type TypedDocumentNode } from '@apollo/client';
import { relayStylePagination } from '@apollo/client/utilities';

const server = process.env.SCV_SERVER ?? 'http://127.0.0.1:8000';
const token = process.env.SCV_TOKEN;

const client = new ApolloClient({
  cache: new InMemoryCache({
    typePolicies: { Query: { fields: { models: relayStylePagination(['filter', 'orderBy']) } } },
  }),
  link: new HttpLink({
    uri: `${server}/graphql`,
    headers: token ? { authorization: `Bearer ${token}` } : {},
  }),
});

interface Hit {
  rank: number;
  debiasedCka: number;
  node: { name: string; kind: string; version: { model: { name: string }; accuracy: number | null } };
}

interface Found {
  model: { version: { layers: { nodes: { name: string; similar: { edges: Hit[] } }[] } } | null } | null;
}

const SIMILAR: TypedDocumentNode<Found, { model: string; least: number }> = gql`
  query Similar($model: String!, $least: Float!) {
    model(name: $model) {
      id
      version(alias: "latest") {
        id
        layers(first: 100) {
          nodes {
            id
            name
            similar(first: 5, filter: { minScore: $least }) {
              edges { rank debiasedCka node { id name kind version { id accuracy model { id name } } } }
            }
          }
        }
      }
    }
  }
`;

const [model, name] = process.argv.slice(2);
const { data } = await client.query({ query: SIMILAR, variables: { model, least: 0 } });
const layers = data?.model?.version?.layers.nodes ?? [];
const layer = layers.find((candidate) => candidate.name === name);
if (!layer) {
  throw new Error(`${model} has no layer ${name}: it has ${layers.map((candidate) => candidate.name).join(', ')}`);
}
for (const { rank, debiasedCka, node } of layer.similar.edges) {
  console.log(rank, debiasedCka.toFixed(3), node.version.model.name, node.name, node.kind);
}
client.stop();
