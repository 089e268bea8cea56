import { Link } from "@tanstack/react-router";
import { useAll, useDocument, usePages } from "../../api/queries";
import { graphql } from "../../gql";
import type { LayersQuery } from "../../gql/graphql";
import { Answer, Empty } from "../../ui/Answer";
import type { Column } from "../../ui/columns";
import { compact, score, shape } from "../../ui/format";
import { Rows } from "../../ui/Rows";
import type { NamedVersion } from "./Version";

const LAYERS = graphql(`
	query Layers($version: ID!, $after: String) {
		version(id: $version) {
			id
			layers(first: 100, after: $after) {
				totalCount
				pageInfo {
					hasNextPage
					endCursor
				}
				nodes {
					id
					index
					name
					kind
					inputShape
					outputShape
					parameterCount
					multiplyAccumulates
					degenerate {
						message
					}
				}
			}
		}
	}
`);

const REDUNDANT = graphql(`
	query Redundant($version: ID!) {
		version(id: $version) {
			id
			redundantNeighbours {
				score
				layer {
					id
					name
				}
				otherLayer {
					id
					name
				}
			}
		}
	}
`);

type Layer = NonNullable<LayersQuery["version"]>["layers"]["nodes"][number];

/** The layers of a version in execution order, with what they cost. */
export function Network({ model, version }: NamedVersion) {
	const layers = usePages(LAYERS, { version: version.id }, (data) => data.version?.layers);
	// Bars show the share of the whole, so all pages are read. A version has some thousand layers at most.
	useAll(layers);
	return (
		<>
			{version.status === "READY" && <Redundant model={model} version={version} />}
			<Answer query={layers} rows={10}>
				{({ pages }) => {
					const rows = pages.flatMap((page) => page.version?.layers.nodes ?? []);
					if (rows.length === 0) return <Empty>Layers are listed as soon as the version is ready.</Empty>;
					return (
						<Rows
							label="Layers"
							columns={columns({ model, version }, rows)}
							rows={rows}
							rowKey={(layer) => layer.id}
							total={pages[0]?.version?.layers.totalCount}
						/>
					);
				}}
			</Answer>
		</>
	);
}

function columns({ model, version }: NamedVersion, layers: readonly Layer[]): readonly Column<Layer>[] {
	const most = Math.max(1, ...layers.map((layer) => layer.multiplyAccumulates));
	return [
		{
			name: "Layer",
			cell: ({ name, degenerate }) => (
				<>
					<Link
						to="/models/$model/versions/$number/layers/$layer"
						params={{ model, number: String(version.number), layer: name }}
					>
						<bdi>{name}</bdi>
					</Link>
					{degenerate.map(({ message }) => (
						<span key={message} className="tag" title={message}>
							no vector
						</span>
					))}
				</>
			),
		},
		{ name: "Kind", width: "11rem", cell: ({ kind }) => kind },
		{ name: "Output", rank: 2, width: "11rem", cell: ({ outputShape }) => shape(outputShape) },
		{
			name: "Parameters",
			isNumber: true,
			rank: 2,
			width: "8rem",
			cell: ({ parameterCount }) => compact(parameterCount),
		},
		{
			name: "Operations",
			isNumber: true,
			rank: 3,
			width: "8rem",
			cell: ({ multiplyAccumulates }) => compact(multiplyAccumulates),
		},
		{
			name: "Cost",
			rank: 3,
			width: "14rem",
			cell: ({ multiplyAccumulates }) =>
				multiplyAccumulates > 0 && (
					<span className="cost" style={{ width: `${(90 * multiplyAccumulates) / most}%` }} aria-hidden="true" />
				),
		},
	];
}

/** Says which neighbours compute nearly the same, if any do. */
function Redundant({ model, version }: NamedVersion) {
	const redundant = useDocument(REDUNDANT, { version: version.id });
	const pairs = redundant.data?.version?.redundantNeighbours ?? [];
	if (pairs.length === 0) return null;
	const layer = (name: string) => (
		<Link
			to="/models/$model/versions/$number/layers/$layer"
			params={{ model, number: String(version.number), layer: name }}
		>
			{name}
		</Link>
	);
	return (
		<details className="notice">
			<summary>
				{pairs.length === 1 ? "One pair" : `${pairs.length} pairs`} of neighbouring layers compute nearly the same, so
				one of each pair may be spare.
			</summary>
			<ul>
				{pairs.map(({ layer: first, otherLayer: second, score: value }) => (
					<li key={first.id}>
						{layer(first.name)} and {layer(second.name)}: {score(value)}
					</li>
				))}
			</ul>
		</details>
	);
}
