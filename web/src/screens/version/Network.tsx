import { getRouteApi, Link } from "@tanstack/react-router";
import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from "react";
import { useAll, usePages } from "../../api/queries";
import { graphql } from "../../gql";
import type { LayersQuery } from "../../gql/graphql";
import { Answer, Empty, Skeleton } from "../../ui/Answer";
import { integer, shape } from "../../ui/format";
import { totalOperations } from "./cost";
import type { GraphLayer } from "./graph/Graph";
import { LayerFacts } from "./LayerFacts";
import { type Layer, LayerTable } from "./LayerTable";
import { Redundant } from "./Redundant";
import type { NamedVersion } from "./Version";
import "./Network.css";

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
					inputs
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

/** Of a network of more layers, the table is shown until one asks for the graph once more: it takes seconds. */
const MOST_IN_GRAPH = 1_000;

const loadGraph = () => import("./graph/Graph");
const Graph = lazy(loadGraph);

const route = getRouteApi("/models/$model/versions/$number");

/** The layers of a version as a graph or as a table, with what they cost. */
export function Network(named: NamedVersion) {
	const { view } = route.useSearch();
	const layers = usePages(LAYERS, { version: named.version.id }, (data) => data.version?.layers, {
		isFinal: hasLayers,
	});
	const [isPatient, setPatient] = useState(false);
	// Costs are shares of the whole, so all pages are read. A version has some thousand layers at most.
	useAll(layers);
	const rows = useMemo(
		() => layers.data?.pages.flatMap((page) => page.version?.layers.nodes ?? []) ?? [],
		[layers.data],
	);
	return (
		<>
			{named.version.status === "READY" && <Redundant {...named} />}
			<Answer query={layers} rows={10}>
				{({ pages: [first] }) => {
					const total = first?.version?.layers.totalCount ?? 0;
					if (total === 0) return <Empty>Layers are shown as soon as the version is ready.</Empty>;
					const hasEdges = rows.every(({ inputs }) => inputs);
					const isLarge = total > MOST_IN_GRAPH;
					const shown = view ?? (hasEdges && !isLarge ? "graph" : "table");
					const isDrawn = shown === "graph" && hasEdges && (!isLarge || isPatient);
					return (
						<>
							<Views shown={shown} />
							{shown === "graph" && !hasEdges && <Edgeless {...named} />}
							{shown === "graph" && hasEdges && !isDrawn && (
								<p>
									A graph of {integer(total)} layers takes a while.{" "}
									<button type="button" onClick={() => setPatient(true)}>
										Draw it anyway
									</button>
								</p>
							)}
							{isDrawn && <Drawing {...named} layers={rows} isWhole={!layers.hasNextPage} />}
							{!isDrawn && (hasEdges || shown === "table") && <LayerTable {...named} layers={rows} total={total} />}
						</>
					);
				}}
			</Answer>
		</>
	);
}

/** Layers do not change once they are there. */
function hasLayers({ version }: LayersQuery): boolean {
	return (version?.layers.totalCount ?? 0) > 0;
}

function Views({ shown }: { shown: "graph" | "table" }) {
	const navigate = route.useNavigate();
	return (
		<p className="views">
			{(["graph", "table"] as const).map((view) => (
				<button
					key={view}
					type="button"
					aria-pressed={shown === view}
					onClick={() =>
						void navigate({ search: (before) => ({ ...before, view }), replace: true, resetScroll: false })
					}
				>
					{view === "graph" ? "Graph" : "Table"}
				</button>
			))}
		</p>
	);
}

function Undrawn() {
	return (
		<Empty>
			This browser could not draw the graph.{" "}
			<Link to="." search={(before) => ({ ...before, view: "table" }) as never}>
				Show the table
			</Link>
		</Empty>
	);
}

/** Why there is no graph. */
function Edgeless({ version }: NamedVersion) {
	return (
		<Empty>
			{version.format === "ACTIVATIONS"
				? "Only the activations of this network are known, so there is no graph."
				: "This version was registered before the server kept the edges of networks. Register it once more to see its graph."}
		</Empty>
	);
}

interface DrawingProps extends NamedVersion {
	layers: readonly Layer[];
	/** Whether all layers have been read. */
	isWhole: boolean;
}

/** The graph, and beside it the facts about the selected layer. */
function Drawing({ layers, isWhole, ...named }: DrawingProps) {
	const { at } = route.useSearch();
	const navigate = route.useNavigate();
	const select = useCallback(
		(at: number) => void navigate({ search: (before) => ({ ...before, at }), replace: true, resetScroll: false }),
		[navigate],
	);
	const drawn = useMemo(() => inGraph(layers), [layers]);
	// It comes while the layers are read.
	useEffect(() => void loadGraph(), []);
	if (!isWhole) return <Skeleton rows={10} />;
	return (
		<div className="network">
			<Suspense fallback={<Skeleton rows={10} />}>
				<Graph layers={drawn} selected={at} onSelect={select} fallback={<Undrawn />} />
			</Suspense>
			<LayerFacts {...named} layer={at === undefined ? undefined : layers[at]} operations={totalOperations(layers)} />
		</div>
	);
}

function inGraph(layers: readonly Layer[]): readonly GraphLayer[] {
	const operations = totalOperations(layers);
	return layers.map((layer) => ({
		index: layer.index,
		name: layer.name,
		kind: layer.kind,
		inputs: layer.inputs ?? [],
		cost: layer.multiplyAccumulates / operations,
		output: shape(layer.outputShape),
	}));
}
