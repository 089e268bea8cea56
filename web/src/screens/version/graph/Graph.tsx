import {
	BaseEdge,
	Controls,
	type Edge,
	type EdgeProps,
	Handle,
	MiniMap,
	type Node,
	type NodeHandle,
	type NodeProps,
	Position,
	ReactFlow,
	type ReactFlowInstance,
} from "@xyflow/react";
import { type KeyboardEvent, type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import { Skeleton } from "../../../ui/Answer";
import { BOX, type Layout, type Point } from "./layout";
import { useLayout } from "./useLayout";
import "@xyflow/react/dist/base.css";
import "./Graph.css";

export interface GraphLayer {
	index: number;
	name: string;
	kind: string;
	inputs: readonly number[];
	/** Its share of the operations of the network, 0 to 1. */
	cost: number;
	output: string;
}

interface GraphProps {
	layers: readonly GraphLayer[];
	/** The index of the selected layer. */
	selected: number | undefined;
	onSelect: (index: number) => void;
	/** What stands in its place if it cannot be drawn. */
	fallback: ReactNode;
}

interface Drawn {
	layers: readonly GraphLayer[];
	selected: number | undefined;
	/** The one layer that Tab leads to, and whether the arrows have led there. */
	current: { index: number | undefined; isWalkedTo: boolean };
	onSelect: (index: number) => void;
	onFocus: (index: number, box: HTMLElement) => void;
	onWalk: (from: number, step: number) => void;
}

type Actions = Pick<Drawn, "onSelect" | "onFocus" | "onWalk">;

type Box = Node<{
	layer: GraphLayer | null;
	isSelected: boolean;
	isCurrent: boolean;
	isWalkedTo: boolean;
	actions: Actions;
}>;
type Line = Edge<{ points: readonly Point[] }>;

/** So many boxes are seen at a glance. */
const MOST_WITHOUT_MAP = 30;

const MARGIN = 16;

/** How far the keys lead along the order of the layers. */
const STEPS: Record<string, number> = {
	ArrowUp: -1,
	ArrowDown: 1,
	PageUp: -10,
	PageDown: 10,
	Home: Number.NEGATIVE_INFINITY,
	End: Number.POSITIVE_INFINITY,
};

/** The layers of a network and what each reads, from top to bottom. Arrows walk along their order, Enter and a click select one. */
export default function Graph({ layers, fallback, ...selection }: GraphProps) {
	const layout = useLayout(layers);
	if (layout === "failed") return fallback;
	return layout ? <Drawing layers={layers} layout={layout} {...selection} /> : <Skeleton rows={10} />;
}

function Drawing({ layers, layout, selected, onSelect }: Omit<GraphProps, "fallback"> & { layout: Layout }) {
	const [current, setCurrent] = useState({ index: selected ?? layers[0]?.index, isWalkedTo: false });
	const instance = useRef<ReactFlowInstance<Box, Line>>(null);
	const actions = useMemo((): Actions => {
		const center = (index: number) => {
			const corner = layout.corners.get(index);
			const [flow, zoom] = [instance.current, instance.current?.getZoom() ?? 1];
			if (corner) void flow?.setCenter(corner.x + BOX.width / 2, corner.y + BOX.height / 2, { zoom });
		};
		return {
			onSelect,
			onFocus: (index, box) => {
				setCurrent({ index, isWalkedTo: false });
				if (!isInView(box)) center(index);
			},
			onWalk: (from, step) => {
				const place = layers.findIndex(({ index }) => index === from) + step;
				const next = layers[Math.min(layers.length - 1, Math.max(0, place))];
				if (next) setCurrent({ index: next.index, isWalkedTo: true });
			},
		};
	}, [layers, layout, onSelect]);
	const nodes = useMemo(
		() => boxes(layout, { layers, selected, current, ...actions }),
		[layout, layers, selected, current, actions],
	);
	const edges = useMemo(() => lines(layout), [layout]);
	const open = (flow: ReactFlowInstance<Box, Line>) => {
		instance.current = flow;
		const place = document.querySelector(".graph")?.clientWidth ?? layout.width;
		const zoom = Math.min(1, Math.max(0.5, (place - 2 * MARGIN) / layout.width));
		const corner = selected === undefined ? undefined : layout.corners.get(selected);
		const top = corner && corner.y > 300 ? 200 - corner.y * zoom : MARGIN;
		void flow.setViewport({ x: (place - layout.width * zoom) / 2, y: top, zoom });
	};
	return (
		<section
			className="graph"
			aria-label="Graph of the network"
			style={{ height: `min(75vh, ${layout.height + 3 * MARGIN}px)` }}
		>
			<ReactFlow
				nodes={nodes}
				edges={edges}
				nodeTypes={NODE_TYPES}
				edgeTypes={EDGE_TYPES}
				onInit={open}
				minZoom={0.05}
				maxZoom={1.5}
				nodesDraggable={false}
				nodesConnectable={false}
				nodesFocusable={false}
				edgesFocusable={false}
				elementsSelectable={false}
				onlyRenderVisibleElements
				// The wheel scrolls the page; with Ctrl it zooms.
				zoomOnScroll={false}
				preventScrolling={false}
				proOptions={{ hideAttribution: true }}
			>
				<Controls showInteractive={false} position="top-right" />
				{layers.length > MOST_WITHOUT_MAP && (
					<MiniMap pannable zoomable ariaLabel="The whole network in small" position="bottom-right" />
				)}
			</ReactFlow>
		</section>
	);
}

/** Where lines end at a box. */
const HANDLES: NodeHandle[] = [
	{ type: "target", position: Position.Top, x: BOX.width / 2, y: 0 },
	{ type: "source", position: Position.Bottom, x: BOX.width / 2, y: BOX.height },
];

const NODE_TYPES = { layer: LayerBox };
const EDGE_TYPES = { line: LineThrough };

function boxes(layout: Layout, { layers, selected, current, ...actions }: Drawn): Box[] {
	const byIndex = new Map(layers.map((layer) => [layer.index, layer]));
	return [...layout.corners].map(([index, position]) => ({
		id: String(index),
		type: "layer",
		position,
		...BOX,
		// With both, the library draws none but the boxes in view; without, all of them once, to measure them.
		measured: BOX,
		handles: HANDLES,
		// Boxes that are out of view are left out, unless they are dragged. The one that Tab leads to must stay.
		dragging: index === current.index,
		data: {
			layer: byIndex.get(index) ?? null,
			isSelected: index === selected,
			isCurrent: index === current.index,
			isWalkedTo: index === current.index && current.isWalkedTo,
			actions,
		},
	}));
}

function lines(layout: Layout): Line[] {
	return layout.edges.map(({ from, to, points }) => ({
		id: `${from}-${to}`,
		type: "line",
		source: String(from),
		target: String(to),
		data: { points },
	}));
}

/** Whether a box is wholly within the graph. */
function isInView(box: HTMLElement): boolean {
	const [inner, outer] = [box.getBoundingClientRect(), box.closest(".graph")?.getBoundingClientRect()];
	if (!outer) return true;
	const isBeside = inner.left < outer.left || inner.right > outer.right;
	return !isBeside && inner.top >= outer.top && inner.bottom <= outer.bottom;
}

function LayerBox({ data: { layer, isSelected, isCurrent, isWalkedTo, actions } }: NodeProps<Box>) {
	const button = useRef<HTMLButtonElement>(null);
	useEffect(() => {
		if (isWalkedTo) button.current?.focus({ preventScroll: true });
	}, [isWalkedTo]);
	const walk = (event: KeyboardEvent, index: number) => {
		const step = STEPS[event.key];
		if (step === undefined) return;
		event.preventDefault();
		actions.onWalk(index, step);
	};
	return (
		<>
			{layer?.inputs.length !== 0 && <Handle type="target" position={Position.Top} isConnectable={false} />}
			{layer ? (
				<button
					ref={button}
					type="button"
					className="graph-box nopan"
					aria-pressed={isSelected}
					tabIndex={isCurrent ? 0 : -1}
					onFocus={(event) => actions.onFocus(layer.index, event.currentTarget)}
					onKeyDown={(event) => walk(event, layer.index)}
					onClick={() => actions.onSelect(layer.index)}
					style={BOX}
				>
					<span className="graph-kind">{layer.kind}</span>
					<bdi className="graph-name">{layer.name}</bdi>
					<span className="graph-shape">{layer.output}</span>
					<span className="graph-cost" style={{ width: `${100 * layer.cost}%` }} />
				</button>
			) : (
				<span className="graph-box graph-image" style={BOX}>
					Image
				</span>
			)}
			<Handle type="source" position={Position.Bottom} isConnectable={false} />
		</>
	);
}

/** A line through the points that the layout gave it, rounded between them. */
function LineThrough({ id, data }: EdgeProps<Line>) {
	return <BaseEdge id={id} path={path(data?.points ?? [])} />;
}

function path([first, ...others]: readonly Point[]): string {
	if (!first) return "";
	const curves = others.map((point, index) => {
		const next = others[index + 1];
		const end = next ? { x: (point.x + next.x) / 2, y: (point.y + next.y) / 2 } : point;
		return `Q ${point.x} ${point.y} ${end.x} ${end.y}`;
	});
	return `M ${first.x} ${first.y} ${curves.join(" ")}`;
}
