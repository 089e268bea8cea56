import { type ReactNode, useEffect, useRef } from "react";
import "./Dialog.css";

/** A window over the screen. Escape and a click beside it close it, and the focus returns to where it was. */
export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
	const place = useRef<HTMLDialogElement>(null);
	useEffect(() => {
		const dialog = place.current;
		if (dialog && !dialog.open) dialog.showModal();
	}, []);
	return (
		// biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes a modal dialog by itself
		<dialog
			ref={place}
			className="dialog"
			aria-label={title}
			onClose={onClose}
			onClick={(event) => event.target === place.current && place.current.close()}
		>
			<div className="dialog-content">
				<h2>{title}</h2>
				{children}
			</div>
		</dialog>
	);
}
