import { type PointerEvent, useEffect, useRef } from "react";

/** Pixels of each side of the pad. Networks see far smaller images. */
const SIDE = 280;

/** Pixels of the pen: an eighth of the pad, as strokes of digits are in data sets. Thinner ones are lost in small images. */
const PEN = 36;

/** How often the drawing is passed on while one draws. */
const INTERVAL_MILLISECONDS = 120;

/** A pad to draw on, in black on white as on paper. */
export function Pad({ onDraw }: { onDraw: (image: Blob | null) => void }) {
	const canvas = useRef<HTMLCanvasElement>(null);
	const passedOnAt = useRef(0);
	const passOn = () => {
		passedOnAt.current = performance.now();
		canvas.current?.toBlob((image) => image && onDraw(image), "image/png");
	};
	const at = (event: PointerEvent) => {
		const box = event.currentTarget.getBoundingClientRect();
		const scale = SIDE / box.width;
		return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale] as const;
	};
	const begin = (event: PointerEvent) => {
		event.currentTarget.setPointerCapture(event.pointerId);
		const context = canvas.current?.getContext("2d");
		if (!context) return;
		context.lineWidth = PEN;
		context.lineCap = "round";
		context.lineJoin = "round";
		context.beginPath();
		context.moveTo(...at(event));
		draw(event);
	};
	const draw = (event: PointerEvent) => {
		const context = canvas.current?.getContext("2d");
		if (!context || !event.currentTarget.hasPointerCapture(event.pointerId)) return;
		context.lineTo(...at(event));
		context.stroke();
		if (performance.now() - passedOnAt.current > INTERVAL_MILLISECONDS) passOn();
	};
	// Once: what is drawn stays while the answers come.
	useEffect(() => whiten(canvas.current), []);
	const clear = () => {
		whiten(canvas.current);
		onDraw(null);
	};
	return (
		<div>
			<canvas
				ref={canvas}
				width={SIDE}
				height={SIDE}
				className="pad"
				role="img"
				aria-label="Pad to draw on"
				onPointerDown={begin}
				onPointerMove={draw}
				onPointerUp={passOn}
			/>
			<p>
				<button type="button" onClick={clear}>
					Clear
				</button>{" "}
				<span className="quiet">Draw as large as the pad.</span>
			</p>
		</div>
	);
}

function whiten(canvas: HTMLCanvasElement | null) {
	const context = canvas?.getContext("2d");
	if (!context) return;
	context.fillStyle = "#fff";
	context.fillRect(0, 0, SIDE, SIDE);
}
