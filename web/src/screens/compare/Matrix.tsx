import { interpolateViridis } from "d3-scale-chromatic";
import {
	type CSSProperties,
	type KeyboardEvent,
	type MouseEvent,
	useEffect,
	useId,
	useMemo,
	useRef,
	useState,
} from "react";
import { score } from "../../ui/format";
import { Axis, type AxisLayer } from "./Axis";
import "./Matrix.css";

/** A cell of a matrix. */
export interface Place {
	row: number;
	column: number;
}

/** The layers along a side of a map, and what they belong to. */
interface Side {
	title: string;
	layers: readonly AxisLayer[];
}

interface MatrixProps {
	rows: Side;
	columns: Side;
	/** By row, then by column. */
	scores: readonly (readonly number[])[];
	/** Cells that a line is drawn through. */
	path: readonly Place[];
	selected: Place | null;
	onSelect: (place: Place) => void;
}

/** The most pixels that a cell is drawn with, and what the whole map should not exceed. */
const CELL = 34;
const MAP = 760;

/** Rows and columns that PageUp, PageDown and the arrows with Shift move by. */
const LEAP = 10;

/** A map of scores. The arrows move a cross-hair, Enter and a click select the cell under it. */
export function Matrix({ rows: rowSide, columns: columnSide, scores, path, selected, onSelect }: MatrixProps) {
	const [rows, columns] = [rowSide.layers, columnSide.layers];
	const canvas = useRef<HTMLCanvasElement>(null);
	const label = useId();
	const [map, shown] = useSize();
	const [place, setPlace] = useState<Place>(selected ?? { row: 0, column: 0 });
	const width = columns.length * Math.min(CELL, MAP / Math.max(rows.length, columns.length));
	const ratio = columns.length / rows.length;
	const image = useMemo(() => draw(scores, rows.length, columns.length), [scores, rows.length, columns.length]);
	useEffect(() => {
		const context = canvas.current?.getContext("2d");
		if (!canvas.current || !context) return;
		const density = window.devicePixelRatio;
		canvas.current.width = shown.width * density;
		canvas.current.height = shown.height * density;
		context.scale(density, density);
		context.imageSmoothingEnabled = false;
		context.drawImage(image, 0, 0, shown.width, shown.height);
		trace(context, path, shown.width / columns.length);
	}, [image, path, shown, columns.length]);
	const at = (event: MouseEvent): Place => {
		const box = event.currentTarget.getBoundingClientRect();
		return {
			row: clamp(Math.floor(((event.clientY - box.top) / box.height) * rows.length), rows.length),
			column: clamp(Math.floor(((event.clientX - box.left) / box.width) * columns.length), columns.length),
		};
	};
	const walk = (event: KeyboardEvent) => {
		const leap = event.shiftKey ? LEAP : 1;
		const steps: Record<string, Place> = {
			ArrowUp: { row: -leap, column: 0 },
			ArrowDown: { row: leap, column: 0 },
			ArrowLeft: { row: 0, column: -leap },
			ArrowRight: { row: 0, column: leap },
			PageUp: { row: -LEAP, column: 0 },
			PageDown: { row: LEAP, column: 0 },
			Home: { row: 0, column: -columns.length },
			End: { row: 0, column: columns.length },
		};
		const step = steps[event.key];
		if (step) {
			event.preventDefault();
			setPlace(({ row, column }) => ({
				row: clamp(row + step.row, rows.length),
				column: clamp(column + step.column, columns.length),
			}));
		} else if (event.key === "Enter" || event.key === " ") {
			event.preventDefault();
			onSelect(place);
		}
	};
	const value = scores[place.row]?.[place.column] ?? 0;
	const text = `${named(rows[place.row])} and ${named(columns[place.column])}: ${score(value)}`;
	const position = (at: Place) => ({
		left: `${(100 * at.column) / columns.length}%`,
		top: `${(100 * at.row) / rows.length}%`,
		width: `${100 / columns.length}%`,
		height: `${100 / rows.length}%`,
	});
	return (
		<figure className="matrix" style={{ "--width": `${width}px`, "--ratio": ratio } as CSSProperties}>
			<Axis {...rowSide} direction="row" pixels={shown.height} />
			<div
				ref={map}
				role="grid"
				aria-label="Similarity of all pairs of layers"
				aria-rowcount={rows.length}
				aria-colcount={columns.length}
				aria-activedescendant={label}
				tabIndex={0}
				className="matrix-map"
				onKeyDown={walk}
				onMouseMove={(event) => setPlace(at(event))}
				onClick={(event) => onSelect(at(event))}
			>
				<canvas ref={canvas} />
				<div className="cross row" style={{ top: position(place).top, height: position(place).height }} />
				<div className="cross column" style={{ left: position(place).left, width: position(place).width }} />
				{selected && <div className="chosen" style={position(selected)} />}
				<div role="row" aria-rowindex={place.row + 1}>
					<div
						role="gridcell"
						id={label}
						aria-colindex={place.column + 1}
						aria-selected={selected?.row === place.row && selected.column === place.column}
						aria-label={text}
						className="current"
						style={position(place)}
					/>
				</div>
			</div>
			<Axis {...columnSide} direction="column" pixels={shown.width} />
			<figcaption>
				<span>{text}</span>
				<span className="scale" aria-hidden="true">
					0 <i /> 1
				</span>
			</figcaption>
		</figure>
	);
}

/** The size of an element on the screen, which follows the window. */
function useSize() {
	const place = useRef<HTMLDivElement>(null);
	const [size, setSize] = useState({ width: 0, height: 0 });
	useEffect(() => {
		if (!place.current) return;
		const observer = new ResizeObserver(([entry]) => entry && setSize(entry.contentRect));
		observer.observe(place.current);
		return () => observer.disconnect();
	}, []);
	return [place, size] as const;
}

/** A picture with a pixel for each score. */
function draw(scores: MatrixProps["scores"], height: number, width: number): HTMLCanvasElement {
	const canvas = document.createElement("canvas");
	canvas.width = Math.max(1, width);
	canvas.height = Math.max(1, height);
	const context = canvas.getContext("2d");
	if (!context) return canvas;
	const image = context.createImageData(canvas.width, canvas.height);
	const pixels = new Uint32Array(image.data.buffer);
	let pixel = 0;
	for (const row of scores) {
		for (const value of row) {
			pixels[pixel] = PALETTE[Math.round(255 * Math.min(1, Math.max(0, value)))] ?? 0;
			pixel += 1;
		}
	}
	context.putImageData(image, 0, 0);
	return canvas;
}

/** Viridis in 256 steps, as the bytes of opaque pixels. */
const PALETTE = Uint32Array.from({ length: 256 }, (_, step) => {
	const [red = 0, green = 0, blue = 0] = rgb(interpolateViridis(step / 255));
	return (255 << 24) | (blue << 16) | (green << 8) | red;
});

/** The parts of a colour such as `#440154` or `rgb(68, 1, 84)`. */
function rgb(colour: string): number[] {
	const hexadecimal = colour.match(/[0-9a-f]{2}/gi);
	return colour.startsWith("#") && hexadecimal
		? hexadecimal.map((part) => Number.parseInt(part, 16))
		: (colour.match(/\d+/g) ?? []).map(Number);
}

/** Draws a line through cells, in white with a dark edge, which stands out from all colours. */
function trace(context: CanvasRenderingContext2D, path: readonly Place[], cell: number) {
	context.beginPath();
	for (const { row, column } of path) context.lineTo((column + 0.5) * cell, (row + 0.5) * cell);
	for (const [width, colour] of [
		[4, "#000"],
		[2, "#fff"],
	] as const) {
		context.lineWidth = width;
		context.strokeStyle = colour;
		context.stroke();
	}
}

function named(layer: AxisLayer | undefined): string {
	return layer ? `${layer.kind} ${layer.name}` : "";
}

function clamp(index: number, length: number): number {
	return Math.min(length - 1, Math.max(0, index));
}
