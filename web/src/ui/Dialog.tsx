import { type ReactNode, useLayoutEffect, useRef } from "react";
import "./Dialog.css";

/** A window over the screen. Escape and a click beside it close it, and the focus returns to where it was. */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
	const place = useRef<HTMLDialogElement>(null);
	const isPressedBeside = useRef(false);
	useLayoutEffect(() => {
		const dialog = place.current;
		dialog?.showModal();
		// Before it is gone, since only then the browser returns the focus.
		return () => dialog?.close();
	}, []);
	return (
		// biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a modal dialog by itself
		<dialog
			ref={place}
			className="dialog"
			aria-label={title}
			onClose={() => place.current?.open === false && onClose()}
			onPointerDown={(event) => {
				isPressedBeside.current = event.target === place.current;
			}}
			// Text may be selected from within to beside it.
			onClick={(event) => isPressedBeside.current && event.target === place.current && place.current.close()}
		>
			<div className="dialog-content">
				<h2>{title}</h2>
				{children}
			</div>
		</dialog>
	);
}
